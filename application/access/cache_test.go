package access_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"agentapi/application/access"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// gate counts how often it is asked; it knows every credential but "bad".
type gate struct {
	asked   int
	expires time.Time
}

func (g *gate) Authenticate(_ context.Context, bearer string) (tenancy.Identity, bool, error) {
	g.asked++
	if bearer == "bad" {
		return tenancy.Identity{}, false, fault.New(fault.Unauthenticated, "bad")
	}
	return tenancy.Identity{Issuer: "i", Subject: bearer, Org: "o", Role: tenancy.OrgMember, Expires: g.expires}, true, nil
}

func TestAVerifiedCredentialIsRememberedForAWhile(t *testing.T) {
	start := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		expires time.Time
		bearer  string
		after   time.Duration // the second request
		asked   int
	}{
		"within half a minute":      {start.Add(time.Hour), "x", 29 * time.Second, 1},
		"later":                     {start.Add(time.Hour), "x", 30 * time.Second, 2},
		"when it has expired":       {start.Add(10 * time.Second), "x", 10 * time.Second, 2},
		"before":                    {start.Add(10 * time.Second), "x", 9 * time.Second, 1},
		"one that does not expire":  {time.Time{}, "x", 0, 1},
		"one that is past its end":  {start.Add(-time.Second), "x", 0, 2},
		"a bad one, which is never": {start.Add(time.Hour), "bad", 0, 2},
	} {
		now, g := start, &gate{expires: c.expires}
		s := opened(t, access.Params{Chain: []ports.Authenticator{g}, Now: func() time.Time { return now }})
		_, first := s.Authenticate(t.Context(), c.bearer, tenancy.Origin{})
		now = now.Add(c.after)
		if _, second := s.Authenticate(t.Context(), c.bearer, tenancy.Origin{}); (first == nil) != (second == nil) || g.asked != c.asked {
			t.Errorf("%s: asked %d times; %v, %v", name, g.asked, first, second)
		}
	}
}

// slow is a gate that takes its time.
type slow struct {
	gate
	takes func()
}

func (s *slow) Authenticate(ctx context.Context, bearer string) (tenancy.Identity, bool, error) {
	defer s.takes()
	return s.gate.Authenticate(ctx, bearer)
}

func TestHowLongACredentialIsRememberedCountsFromTheBeginOfItsCheck(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	g := &slow{takes: func() {}}
	s := opened(t, access.Params{Chain: []ports.Authenticator{g}, Now: func() time.Time { return now }})
	ask := func() {
		t.Helper()
		if _, err := s.Authenticate(t.Context(), "x", tenancy.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	g.takes = func() { now = now.Add(20 * time.Second) }
	ask()
	now = now.Add(9 * time.Second)
	if ask(); g.asked != 1 {
		t.Errorf("asked %d times within 30 s", g.asked)
	}
	now = now.Add(time.Second)
	if ask(); g.asked != 2 {
		t.Errorf("asked %d times after 30 s", g.asked)
	}
	g.takes = func() { s.Hear() } // it is taken back while it is checked
	now = now.Add(time.Minute)
	ask()
	if ask(); g.asked != 4 {
		t.Errorf("asked %d times: what was taken back is remembered", g.asked)
	}
}

func TestWhoIsRememberedIsBounded(t *testing.T) {
	now := time.Now()
	g := &gate{expires: now.Add(time.Hour)}
	s := opened(t, access.Params{Chain: []ports.Authenticator{g}, Now: func() time.Time { return now }})
	const many = 25_000
	for n := range many {
		if p, err := s.Authenticate(t.Context(), fmt.Sprint(n), tenancy.Origin{}); err != nil || p.Identity().Subject != fmt.Sprint(n) {
			t.Fatalf("%d: %+v, %v", n, p.Identity(), err)
		}
	}
	g.asked = 0
	for n := range many {
		if p, err := s.Authenticate(t.Context(), fmt.Sprint(n), tenancy.Origin{}); err != nil || p.Identity().Subject != fmt.Sprint(n) {
			t.Fatalf("%d: %+v, %v", n, p.Identity(), err)
		}
	}
	if g.asked < many-10_000 {
		t.Errorf("%d are remembered", many-g.asked)
	}
}

func TestAPlatformAdminIsNamedByIssuerAndSubject(t *testing.T) {
	s := opened(t, access.Params{Chain: []ports.Authenticator{&gate{}}, Admins: []access.Admin{{Issuer: "i", Subject: "root"}, {Issuer: "other", Subject: "ann"}}})
	for subject, want := range map[string]tenancy.Role{"root": tenancy.PlatformAdmin, "ann": tenancy.OrgMember} {
		if p, err := s.Authenticate(t.Context(), subject, tenancy.Origin{}); err != nil || p.Role() != want {
			t.Errorf("%s: got %v, %v", subject, p.Role(), err)
		}
	}
}
