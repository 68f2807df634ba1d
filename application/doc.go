// Package application holds the use cases, one package each: access (who calls),
// completion (an answer from an agent, stored), catalog (which models there are
// and who serves them), conversations (stored sessions), vitals (is it well).
// They know the domain and the ports, and no transport, database or program.
package application
