package admin_test

import (
	"net/netip"
	"testing"

	"agentapi/application/admin"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// A credential is shown to whom the key belongs, or, of a service account's, to who
// administers it: whoever has one is its owner to the server.
func TestAnAdministratorRotatesNobodysOwnKey(t *testing.T) {
	h := newHouse(t)
	owner, boss, ann := h.has(t, "owner", tenancy.OrgOwner), h.has(t, "boss", tenancy.OrgAdmin), h.has(t, "ann", tenancy.OrgMember)
	theirs, _ := h.key(t, owner, admin.NewKey{Role: tenancy.OrgOwner})
	hers, _ := h.key(t, ann, admin.NewKey{Role: tenancy.Service})
	for name, k := range map[string]*tenancy.APIKey{"an owner's": theirs, "a member's": hers} {
		_, credential, err := h.RotateKey(t.Context(), boss, h.org, k.ID, admin.MaxGrace, admin.Once{})
		if !fault.Is(err, fault.Forbidden) || credential != "" {
			t.Errorf("%s key was rotated: %v", name, err)
		}
		if left, err := h.Key(t.Context(), boss, h.org, k.ID); err != nil || left.Version != 1 {
			t.Errorf("%s key is %+v, %v", name, left, err)
		}
	}
	own, _ := h.key(t, boss, admin.NewKey{Role: tenancy.OrgAdmin})
	if _, credential, err := h.RotateKey(t.Context(), boss, h.org, own.ID, 0, admin.Once{}); err != nil || credential == "" {
		t.Errorf("one's own: %v", err)
	}
	bot, _, err := h.CreateKey(t.Context(), boss, h.org, admin.NewKey{Name: "ci", Service: "builds"}, admin.Once{})
	if err != nil {
		t.Fatal(err)
	}
	if _, credential, err := h.RotateKey(t.Context(), boss, h.org, bot.ID, 0, admin.Once{}); err != nil || credential == "" {
		t.Errorf("a service account's: %v", err)
	}
	if _, err := h.EditKey(t.Context(), boss, h.org, theirs.ID, nil, admin.KeyEdit{Networks: new([]netip.Prefix)}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("an owner's key was changed: %v", err)
	}
	if _, err := h.RevokeKey(t.Context(), boss, h.org, theirs.ID, nil); err != nil {
		t.Errorf("to revoke one: %v", err)
	}
}

// Whoever has found a key has what it may do, and no way to more.
func TestAKeyMakesNoneThatMayDoMoreThanItMay(t *testing.T) {
	h := newHouse(t)
	boss := h.has(t, "boss", tenancy.OrgAdmin)
	strong, _ := h.key(t, boss, admin.NewKey{Role: tenancy.OrgAdmin})
	none := tenancy.OrgID{}
	for name, n := range map[string]admin.NewKey{
		"of a lesser role":  {Role: tenancy.OrgMember},
		"bound to models":   {Role: tenancy.OrgAdmin, Models: []string{"demo/*"}},
		"bound to networks": {Role: tenancy.OrgAdmin, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
	} {
		t.Run(name, func(t *testing.T) {
			weak, by := h.key(t, boss, n)
			if _, credential, err := h.RotateKey(t.Context(), by, none, strong.ID, admin.MaxGrace, admin.Once{}); !fault.Is(err, fault.Forbidden) || credential != "" {
				t.Errorf("it rotated another: %v", err)
			}
			if _, credential, err := h.CreateKey(t.Context(), by, none, admin.NewKey{Name: "more", Role: tenancy.OrgAdmin}, admin.Once{}); !fault.Is(err, fault.Forbidden) || credential != "" {
				t.Errorf("it made another: %v", err)
			}
			if n.Role != tenancy.OrgMember { // which is bound to nothing that could be changed
				_, err := h.EditKey(t.Context(), by, none, weak.ID, nil, admin.KeyEdit{Models: new([]string), Networks: new([]netip.Prefix)})
				if !fault.Is(err, fault.Forbidden) {
					t.Errorf("it freed itself: %v", err)
				}
			}
			if _, err := h.EditKey(t.Context(), by, none, strong.ID, nil, admin.KeyEdit{Networks: new([]netip.Prefix)}); !fault.Is(err, fault.Forbidden) {
				t.Errorf("it changed another: %v", err)
			}
			next, credential, err := h.RotateKey(t.Context(), by, none, weak.ID, 0, admin.Once{})
			if err != nil || credential == "" || len(next.Models) != len(n.Models) || len(next.Networks) != len(n.Networks) || next.Role != n.Role {
				t.Errorf("in its own place it made %+v, %v", next, err)
			}
			if _, err := h.RevokeKey(t.Context(), by, none, weak.ID, nil); err != nil {
				t.Errorf("to revoke it: %v", err)
			}
		})
	}
	_, free := h.key(t, boss, admin.NewKey{Role: tenancy.OrgAdmin})
	if _, _, err := h.RotateKey(t.Context(), free, none, strong.ID, 0, admin.Once{}); err != nil {
		t.Errorf("a key that is bound to nothing: %v", err)
	}
}
