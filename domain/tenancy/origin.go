package tenancy

import "net/netip"

// Origin is where a request came from. It is personal: it goes nowhere but where it
// can be erased.
type Origin struct {
	Address netip.Addr
	Agent   string // the program, as it calls itself
}

// At is the caller, come from an origin.
func (p Principal) At(o Origin) Principal {
	p.origin = o
	return p
}

// Origin is where the caller's request came from; zero: it is not known.
func (p Principal) Origin() Origin { return p.origin }
