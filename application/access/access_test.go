package access_test

import (
	"context"
	"crypto/rand"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/adapters/storage/memory"
	"agentapi/application/access"
	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
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
		p, err := s.Authenticate(t.Context(), bearer, tenancy.Origin{})
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
	if _, err := s.Authenticate(t.Context(), "z", tenancy.Origin{}); fault.As(err) == nil || fault.As(err).Code != "invalid_api_key" {
		t.Errorf("a credential that nobody knows: %v", err)
	}
}

func TestACheckThatCannotBeMadeIsNoRefusal(t *testing.T) {
	down := door{err: fault.New(fault.Unavailable, "away").WithCode("auth_unavailable")}
	s := opened(t, access.Params{Chain: []ports.Authenticator{down, door{knows: "x"}}})
	if _, err := s.Authenticate(t.Context(), "x", tenancy.Origin{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestACredentialWithoutAnOrganisationIsForbidden(t *testing.T) {
	s := opened(t, access.Params{Chain: []ports.Authenticator{door{knows: "x", who: tenancy.Identity{Issuer: "i", Subject: "s"}}}})
	if _, err := s.Authenticate(t.Context(), "x", tenancy.Origin{}); fault.As(err) == nil || fault.As(err).Code != "org_required" {
		t.Errorf("got %v", err)
	}
}

func TestTheSameNameAtAnotherIssuerIsSomebodyElse(t *testing.T) {
	one := tenancy.Identity{Issuer: "one", Subject: "s", Org: "o"}
	two := tenancy.Identity{Issuer: "two", Subject: "s", Org: "o"}
	s := opened(t, access.Params{Chain: []ports.Authenticator{door{knows: "1", who: one}, door{knows: "2", who: two}}})
	a, err := s.Authenticate(t.Context(), "1", tenancy.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Authenticate(t.Context(), "2", tenancy.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Org() == b.Org() || a.User() == b.User() {
		t.Error("two issuers' names were taken for the same")
	}
}

// Who became an administrator, and when, is in the log whoever said so.
func TestARoleThatATokenGivesIsRecorded(t *testing.T) {
	var o memory.Options
	o.SetDefaults()
	store, err := memory.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s := opened(t, access.Params{
		Storage: store, Audit: trail.NewRecorder(store, "i", time.Now, func(b []byte) { rand.Read(b) }),
		Chain: []ports.Authenticator{
			door{knows: "before", who: tenancy.Identity{Issuer: "dev", Subject: "ann", Org: "a", Role: tenancy.OrgMember}},
			door{knows: "after", who: tenancy.Identity{Issuer: "dev", Subject: "ann", Org: "a", Role: tenancy.OrgAdmin}},
		},
	})
	for _, token := range []string{"before", "after", "after"} {
		s.Hear() // it is looked up anew
		if _, err := s.Authenticate(t.Context(), token, tenancy.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := store.Trail().List(t.Context(), audit.Filter{Action: audit.MemberChanged}, page.Query{Limit: 10})
	if err != nil || len(found.Items) != 1 {
		t.Fatalf("got %v, %v", found.Items, err)
	}
	if said := string(found.Items[0].Canon); !strings.Contains(said, `"details":{"by":"token","role":"org_admin"}`) {
		t.Errorf("got %s", said)
	}
}

func TestARefusalIsRecordedOnceAMinuteForEachKnownUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o memory.Options
		o.SetDefaults()
		store, err := memory.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		s := opened(t, access.Params{
			Storage: store, Audit: trail.NewRecorder(store, "i", time.Now, func(b []byte) { rand.Read(b) }),
			Chain: []ports.Authenticator{
				door{knows: "ann", who: tenancy.Identity{Issuer: "dev", Subject: "ann", Org: "a", Role: tenancy.OrgMember}},
				door{knows: "bob", who: tenancy.Identity{Issuer: "dev", Subject: "bob", Org: "a", Role: tenancy.OrgMember}},
			},
		})
		from := tenancy.Origin{Address: netip.MustParseAddr("192.0.2.1"), Agent: "curl/8"}
		var ann tenancy.Principal
		for _, who := range []string{"ann", "bob"} {
			p, err := s.Authenticate(t.Context(), who, from)
			if err != nil || p.Origin() != from {
				t.Fatal(p, err)
			}
			if who == "ann" {
				ann = p
			}
			suspend := func(u *tenancy.User, _ int) error {
				u.Status = tenancy.Suspended
				return nil
			}
			if err := store.Directory().UpdateUser(t.Context(), p.User(), suspend); err != nil {
				t.Fatal(err)
			}
		}
		s.Forget(t.Context())
		for range 2 {
			for range 3 {
				for _, who := range []string{"ann", "bob", "nobody", "somebody"} {
					if _, err := s.Authenticate(t.Context(), who, from); err == nil {
						t.Errorf("%s is let in", who)
					}
				}
			}
			time.Sleep(time.Minute)
		}
		found, err := store.Trail().List(t.Context(), audit.Filter{Action: audit.AuthFailed}, page.Query{Limit: 100})
		if err != nil || len(found.Items) != 6 {
			t.Errorf("%d entries, %v", len(found.Items), err)
		}
		if values, err := store.Audit().Values(t.Context(), ann.Scope()); err != nil || len(values) != 2 {
			t.Errorf("of the user is known %v, %v", values, err)
		}
	})
}

// keyed is a door that says whether it can check anything.
type keyed struct {
	door
	ready error
}

func (k keyed) Ready() error { return k.ready }

func TestItIsReadyWhileSomeCredentialCanBeChecked(t *testing.T) {
	away := keyed{ready: fault.New(fault.Unavailable, "no keys").WithCode("auth_unavailable")}
	for name, c := range map[string]struct {
		chain []ports.Authenticator
		ready bool
	}{
		"one that needs nobody":             {[]ports.Authenticator{door{}}, true},
		"one that can":                      {[]ports.Authenticator{keyed{}}, true},
		"one that cannot":                   {[]ports.Authenticator{away}, false},
		"one that cannot, and one that can": {[]ports.Authenticator{away, door{}}, true},
		"none of two":                       {[]ports.Authenticator{away, away}, false},
	} {
		if err := opened(t, access.Params{Chain: c.chain}).Ready(); (err == nil) != c.ready || err != nil && fault.As(err).Code != "auth_unavailable" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
