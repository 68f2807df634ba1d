// Package ports is what the core needs of the world, as interfaces that it owns.
//
// Every error that a method returns is a *fault.Error of one of the kinds that
// its comment names, or fault.Canceled or fault.Timeout when ctx ended.
// Implementations are safe for concurrent use. What they return is the caller's
// own: changing it changes nothing else. Each port has a conformance suite in
// porttest, which tests these sentences against every adapter.
package ports
