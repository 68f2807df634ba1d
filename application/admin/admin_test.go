package admin_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"agentapi/adapters/storage/memory"
	"agentapi/application/access"
	"agentapi/application/admin"
	"agentapi/application/trail"
	"agentapi/domain/tenancy"
)

// deaf is an Access that nothing needs to be told.
type deaf struct{}

func (deaf) Forget(context.Context)   {}
func (deaf) Configured() bool         { return false }
func (deaf) Names(*tenancy.User) bool { return false }

// house is an organisation, and who administers it.
type house struct {
	*admin.Service
	store *memory.Store
	org   tenancy.OrgID
}

func newHouse(t *testing.T) *house {
	t.Helper()
	var o memory.Options
	o.SetDefaults()
	store, err := memory.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	random := func(b []byte) { rand.Read(b) }
	h := &house{store: store, org: access.OrgOf("dev", "acme"), Service: admin.New(admin.Params{
		Storage: store, Audit: trail.NewRecorder(store, "i", time.Now, random), Access: deaf{}, Pepper: tenancy.Pepper("pepper"), Now: time.Now, Random: random,
	})}
	at := time.Now()
	err = store.Directory().Enrol(t.Context(), tenancy.Standing{Org: &tenancy.Org{ID: h.org, Issuer: "dev", Name: "acme", Title: "acme", Status: tenancy.Active, Version: 1, Created: at, Updated: at}})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// has makes a member, and gives them as a caller.
func (h *house) has(t *testing.T, name string, role tenancy.Role) tenancy.Principal {
	t.Helper()
	at, user := time.Now(), access.UserOf("dev", name)
	err := h.store.Directory().Enrol(t.Context(), tenancy.Standing{
		User:   &tenancy.User{ID: user, Issuer: "dev", Subject: name, Status: tenancy.Active, Version: 1, Created: at, Updated: at},
		Member: &tenancy.Member{Org: h.org, User: user, Name: name, Role: role, Given: true, Status: tenancy.Active, Version: 1, Created: at, Updated: at},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h.caller(t, user, role, nil)
}

func (h *house) caller(t *testing.T, user tenancy.UserID, role tenancy.Role, by *tenancy.APIKey) tenancy.Principal {
	t.Helper()
	p, err := tenancy.NewPrincipal(tenancy.Identity{Role: role, Key: by}, h.org, user)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// key makes a key of the caller's own, and gives the caller who acts by it.
func (h *house) key(t *testing.T, who tenancy.Principal, n admin.NewKey) (*tenancy.APIKey, tenancy.Principal) {
	t.Helper()
	n.Name = "k"
	k, _, err := h.CreateKey(t.Context(), who, tenancy.OrgID{}, n, admin.Once{})
	if err != nil {
		t.Fatal(err)
	}
	return k, h.caller(t, who.User(), k.Role.Lesser(who.Role()), k)
}
