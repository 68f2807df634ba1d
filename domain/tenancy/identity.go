package tenancy

import "time"

// Identity is what an authenticator has verified about a credential's bearer:
// who it is in the words of whoever vouches for it. It grants nothing; a
// Principal is made of it.
type Identity struct {
	Issuer  string // who vouches: an OIDC issuer, or "dev"
	Subject string // the bearer, unique at the issuer; never an e-mail address
	Org     string // the organisation, in the issuer's words
	Role    Role
	Email   string    // that the issuer says it has verified; empty: none is known
	Method  string    // how it was proved: dev, oidc, apikey
	Expires time.Time // zero: not known to expire
	Key     *APIKey   // the key that was presented, which says all else; nil: none was
}
