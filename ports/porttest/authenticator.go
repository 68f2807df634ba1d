package porttest

import (
	"strings"
	"testing"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// AuthBench is an authenticator and credentials for it.
type AuthBench struct {
	Auth    ports.Authenticator
	Good    map[string]tenancy.Identity // who presents each
	Foreign []string                    // not of its kind
}

// Authenticator tests the contract of ports.Authenticator.
func Authenticator(t *testing.T, b AuthBench) {
	t.Run("a good credential tells who presents it", func(t *testing.T) {
		for bearer, want := range b.Good {
			got, ok, err := b.Auth.Authenticate(t.Context(), bearer)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			same(t, got, want)
		}
	})
	t.Run("a credential of another kind is left to others", func(t *testing.T) {
		for _, bearer := range append(b.Foreign, "", strings.Repeat("x", 1<<16)) {
			if _, ok, err := b.Auth.Authenticate(t.Context(), bearer); ok || fault.Is(err, fault.Unavailable) {
				t.Errorf("%.20q: got %v, %v", bearer, ok, err)
			}
		}
	})
	t.Run("a good credential that is changed is good no more", func(t *testing.T) {
		for bearer := range b.Good {
			for _, changed := range []string{bearer + "x", bearer[:len(bearer)-1], strings.ToUpper(bearer), " " + bearer} {
				if _, ok, _ := b.Auth.Authenticate(t.Context(), changed); ok && b.Good[changed] == (tenancy.Identity{}) {
					t.Errorf("%q was taken", changed)
				}
			}
		}
	})
}
