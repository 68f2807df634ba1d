package apikey

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"agentapi/adapters/storage/memory"
	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/tenancy"
	"agentapi/ports"
	"agentapi/ports/porttest"
)

var pepper = tenancy.Pepper("a pepper of some length")

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

// bench is a directory with a member, and what makes keys of it.
type bench struct {
	ports.Directory
	*Identity
	now time.Time
}

func open(t *testing.T) *bench {
	t.Helper()
	store, err := memory.Open(memory.Options{MaxSessions: 1, MaxBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Directory: store.Directory(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	b.Identity = &Identity{}
	b.Use(Params{Directory: b.Directory, Pepper: pepper, Now: func() time.Time { return b.now }})
	org, user := named(tenancy.OrgID{}, "o"), named(tenancy.UserID{}, "u")
	err = b.Enrol(t.Context(), tenancy.Standing{
		Org: &tenancy.Org{ID: org, Status: tenancy.Active}, User: &tenancy.User{ID: user, Status: tenancy.Active},
		Member: &tenancy.Member{Org: org, User: user, Status: tenancy.Active},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) key(t *testing.T, change func(*tenancy.APIKey)) (*tenancy.APIKey, string) {
	t.Helper()
	secret := tenancy.NewSecret(func(b []byte) { rand.Read(b) })
	var random [10]byte
	rand.Read(random[:])
	k := &tenancy.APIKey{
		ID: tenancy.NewKeyID(b.now, random), Org: named(tenancy.OrgID{}, "o"), User: named(tenancy.UserID{}, "u"), Name: "k", Role: tenancy.OrgMember,
		Hash: pepper.Hash(secret), Pepper: pepper.Mark(), LastUsed: b.now, Created: b.now, Updated: b.now,
	}
	change(k)
	if err := b.CreateKey(t.Context(), tenancy.RealmOf(k.Org), k); err != nil {
		t.Fatal(err)
	}
	got, err := b.FindKey(t.Context(), k.ID)
	if err != nil {
		t.Fatal(err)
	}
	return got, tenancy.Credential(k.ID, secret)
}

func TestTheIdentityKeepsThePortsContract(t *testing.T) {
	b := open(t)
	plain, first := b.key(t, func(*tenancy.APIKey) {})
	bounded, second := b.key(t, func(k *tenancy.APIKey) { k.Expires = b.now.Add(time.Hour) })
	porttest.Authenticator(t, porttest.AuthBench{
		Auth: b.Identity, Foreign: []string{"sk-agentapi-dev-x", "eyJhbGciOiJub25lIn0.e30."},
		Good: map[string]tenancy.Identity{
			first:  {Issuer: "apikey", Subject: plain.ID.String(), Method: "apikey", Key: plain},
			second: {Issuer: "apikey", Subject: bounded.ID.String(), Method: "apikey", Key: bounded, Expires: bounded.Expires},
		},
	})
}

func TestAKeyThatIsNotGoodIsRefused(t *testing.T) {
	b := open(t)
	_, revoked := b.key(t, func(k *tenancy.APIKey) { k.Revoked = b.now })
	_, expired := b.key(t, func(k *tenancy.APIKey) { k.Expires = b.now })
	other, _ := b.key(t, func(*tenancy.APIKey) {})
	_, foreign := b.key(t, func(k *tenancy.APIKey) { k.Pepper = tenancy.Pepper("another server's").Mark() })
	guess := tenancy.NewSecret(func(b []byte) { rand.Read(b) })
	for name, c := range map[string]struct {
		bearer string
		kind   fault.Kind
		code   string
	}{
		"revoked":                {revoked, fault.Unauthenticated, "invalid_api_key"},
		"expired":                {expired, fault.Unauthenticated, "invalid_api_key"},
		"a guess":                {tenancy.Credential(other.ID, guess), fault.Unauthenticated, "invalid_api_key"},
		"of nobody":              {tenancy.Credential(tenancy.NewKeyID(b.now, [10]byte{1}), guess), fault.Unauthenticated, "invalid_api_key"},
		"under another's pepper": {foreign, fault.Unavailable, "auth_unavailable"},
	} {
		_, ok, err := b.Authenticate(t.Context(), c.bearer)
		if f := fault.As(err); ok || f == nil || f.Kind != c.kind || f.Code != c.code {
			t.Errorf("%s: got %v, %v", name, ok, err)
		}
	}
}

func TestTheLastUseIsKnownToTheMinute(t *testing.T) {
	b := open(t)
	k, credential := b.key(t, func(k *tenancy.APIKey) { k.LastUsed = time.Time{} })
	for _, c := range []struct{ after, seen time.Duration }{{time.Hour, 0}, {30 * time.Second, 0}, {31 * time.Second, 61 * time.Second}} {
		b.now = b.now.Add(c.after)
		if _, ok, err := b.Authenticate(t.Context(), credential); !ok || err != nil {
			t.Fatal(err)
		}
		got, err := b.FindKey(t.Context(), k.ID)
		if want := k.Created.Add(time.Hour + c.seen); err != nil || !got.LastUsed.Equal(want) || got.Version != k.Version {
			t.Errorf("last used at %v, not %v, in version %d, %v", got.LastUsed, want, got.Version, err)
		}
	}
}

// silent is a directory that does not answer.
type silent struct{ ports.Directory }

// FindKey does not find out.
func (silent) FindKey(context.Context, tenancy.KeyID) (*tenancy.APIKey, error) { return nil, errAway }

var errAway = fault.New(fault.Unavailable, "away")

func TestADirectoryThatIsAwayIsNoRefusal(t *testing.T) {
	b := open(t)
	_, credential := b.key(t, func(*tenancy.APIKey) {})
	b.Identity.Directory = silent{}
	if _, ok, err := b.Authenticate(t.Context(), credential); ok || !errors.Is(err, errAway) {
		t.Errorf("got %v, %v", ok, err)
	}
}
