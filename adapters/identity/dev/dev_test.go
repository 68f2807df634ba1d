package dev

import (
	"testing"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports/porttest"
)

func TestTheIdentityKeepsThePortsContract(t *testing.T) {
	d, err := Open(Options{Tokens: []Token{
		{Token: "token-of-ann", Org: "acme", User: "ann", Role: "org_admin"}, {Token: "token-of-bob", Org: "acme", User: "bob"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	porttest.Authenticator(t, porttest.AuthBench{
		Auth: d, Foreign: []string{"token-of-eve", "eyJhbGciOiJub25lIn0.e30."},
		Good: map[string]tenancy.Identity{
			"token-of-ann": {Issuer: "dev", Subject: "ann", Org: "acme", Role: tenancy.OrgAdmin, Method: "dev"},
			"token-of-bob": {Issuer: "dev", Subject: "bob", Org: "acme", Role: tenancy.OrgMember, Method: "dev"},
		},
	})
}

func TestUnsafeTokensAreRefused(t *testing.T) {
	good := Token{Token: "long-enough", Org: "o", User: "u"}
	for name, tokens := range map[string][]Token{
		"too short":  {{Token: "short", Org: "o", User: "u"}},
		"of two":     {good, good},
		"of nobody":  {{Token: "long-enough", Org: "o"}},
		"of no role": {{Token: "long-enough", Org: "o", User: "u", Role: "root"}},
	} {
		o := Options{Tokens: tokens}
		if err := o.Validate(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
