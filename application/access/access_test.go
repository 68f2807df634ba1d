package access_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"agentapi/adapters/storage/memory"
	"agentapi/application/access"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// door knows one credential; to another it says what a test tells it to.
type door struct {
	knows string
	who   tenancy.Identity
	err   error
}

func (d door) Authenticate(_ context.Context, bearer string) (tenancy.Identity, bool, error) {
	if d.err != nil {
		return tenancy.Identity{}, false, d.err
	}
	return d.who, bearer == d.knows, nil
}

// opened makes a service on an empty directory, where nothing else is said.
func opened(t *testing.T, p access.Params) *access.Service {
	t.Helper()
	if p.Storage == nil {
		store, err := memory.Open(memory.Options{MaxSessions: 1, MaxBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		p.Storage = store
	}
	if p.Now == nil {
		p.Now = time.Now
	}
	return access.New(p)
}

func TestTheFirstAuthenticatorThatKnowsTheCredentialDecides(t *testing.T) {
	ann := tenancy.Identity{Issuer: "dev", Subject: "ann", Org: "a"}
	bob := tenancy.Identity{Issuer: "dev", Subject: "bob", Org: "a"}
	s := opened(t, access.Params{Chain: []ports.Authenticator{door{knows: "x", who: ann}, door{knows: "y", who: bob}}})
	who := func(bearer string) tenancy.Principal {
		p, err := s.Authenticate(t.Context(), bearer, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b := who("x"), who("y")
	if a.Identity() != ann || b.Identity() != bob {
		t.Errorf("got %+v and %+v", a.Identity(), b.Identity())
	}
	if a.Org() != b.Org() || a.User() == b.User() || a.User() != who("x").User() {
		t.Error("one organisation must have one id, each subject its own, always the same")
	}
	if _, err := s.Authenticate(t.Context(), "z", netip.Addr{}); fault.As(err) == nil || fault.As(err).Code != "invalid_api_key" {
		t.Errorf("a credential that nobody knows: %v", err)
	}
}

func TestACheckThatCannotBeMadeIsNoRefusal(t *testing.T) {
	down := door{err: fault.New(fault.Unavailable, "away").WithCode("auth_unavailable")}
	s := opened(t, access.Params{Chain: []ports.Authenticator{down, door{knows: "x"}}})
	if _, err := s.Authenticate(t.Context(), "x", netip.Addr{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestACredentialWithoutAnOrganisationIsForbidden(t *testing.T) {
	s := opened(t, access.Params{Chain: []ports.Authenticator{door{knows: "x", who: tenancy.Identity{Issuer: "i", Subject: "s"}}}})
	if _, err := s.Authenticate(t.Context(), "x", netip.Addr{}); fault.As(err) == nil || fault.As(err).Code != "org_required" {
		t.Errorf("got %v", err)
	}
}

func TestTheSameNameAtAnotherIssuerIsSomebodyElse(t *testing.T) {
	one := tenancy.Identity{Issuer: "one", Subject: "s", Org: "o"}
	two := tenancy.Identity{Issuer: "two", Subject: "s", Org: "o"}
	s := opened(t, access.Params{Chain: []ports.Authenticator{door{knows: "1", who: one}, door{knows: "2", who: two}}})
	a, err := s.Authenticate(t.Context(), "1", netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Authenticate(t.Context(), "2", netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Org() == b.Org() || a.User() == b.User() {
		t.Error("two issuers' names were taken for the same")
	}
}
