package admin_test

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Two owners who have each other removed, or made less, at the same time: one stays.
func TestTwoOwnersDoNotRemoveEachOther(t *testing.T) {
	less, out := tenancy.OrgMember, tenancy.Suspended
	for name, do := range map[string]func(h *house, who, whom tenancy.Principal) error{
		"remove": func(h *house, who, whom tenancy.Principal) error {
			return h.RemoveMember(t.Context(), who, h.org, whom.User(), nil)
		},
		"demote": func(h *house, who, whom tenancy.Principal) error {
			_, err := h.EditMember(t.Context(), who, h.org, whom.User(), nil, tenancy.Edit{Role: &less})
			return err
		},
		"suspend": func(h *house, who, whom tenancy.Principal) error {
			_, err := h.EditMember(t.Context(), who, h.org, whom.User(), nil, tenancy.Edit{Status: &out})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			one, other := h.has(t, "one", tenancy.OrgOwner), h.has(t, "other", tenancy.OrgOwner)
			var both sync.WaitGroup
			errs := make([]error, 2)
			both.Go(func() { errs[0] = do(h, one, other) })
			both.Go(func() { errs[1] = do(h, other, one) })
			both.Wait()
			for i, err := range errs {
				if err != nil && (!fault.Is(err, fault.Conflict) || fault.As(err).Code != "last_owner") || (errs[0] == nil) == (errs[1] == nil) {
					t.Errorf("%d: %v", i, err)
				}
			}
			owners, err := h.store.Roster().Owners(t.Context(), tenancy.RealmOf(h.org))
			if err != nil || len(owners) != 1 {
				t.Errorf("the owners are %v, %v", owners, err)
			}
		})
	}
	h := newHouse(t)
	last := h.has(t, "last", tenancy.OrgOwner)
	op := h.caller(t, h.has(t, "op", tenancy.OrgMember).User(), tenancy.PlatformAdmin, nil)
	if _, err := h.EditMember(t.Context(), op, h.org, last.User(), nil, tenancy.Edit{Role: new(tenancy.Role)}); err != nil {
		t.Errorf("an owner's role that their token says again: %v", err)
	}
	if err := h.RemoveMember(t.Context(), op, h.org, last.User(), nil); err != nil {
		t.Errorf("whoever runs the platform sees to the next owner: %v", err)
	}
}

// What somebody is in an organisation says nothing of what they are on the platform.
func TestAnOrganisationsAdministratorsShutOutNobodyWhoAdministersThePlatform(t *testing.T) {
	h := newHouse(t)
	boss, op := h.has(t, "boss", tenancy.OrgOwner), h.has(t, "op", tenancy.OrgMember)
	err := h.store.Directory().UpdateUser(t.Context(), op.User(), func(u *tenancy.User, _ int) error {
		u.Platform, u.Updated = tenancy.PlatformAdmin, time.Now()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := tenancy.Suspended
	if _, err := h.EditMember(t.Context(), boss, h.org, op.User(), nil, tenancy.Edit{Status: &out}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("they were suspended: %v", err)
	}
	if err := h.RemoveMember(t.Context(), boss, h.org, op.User(), nil); !fault.Is(err, fault.Forbidden) {
		t.Errorf("they were removed: %v", err)
	}
	peer := h.caller(t, h.has(t, "peer", tenancy.OrgMember).User(), tenancy.PlatformAdmin, nil)
	if _, err := h.EditMember(t.Context(), peer, h.org, op.User(), nil, tenancy.Edit{Status: &out}); err != nil {
		t.Errorf("by one of theirs: %v", err)
	}
	ann := h.has(t, "ann", tenancy.OrgMember)
	h.Access = naming{user: ann.User()}
	if err := h.RemoveMember(t.Context(), boss, h.org, ann.User(), nil); !fault.Is(err, fault.Forbidden) {
		t.Errorf("one whom the configuration names was removed: %v", err)
	}
}

// naming is an Access whose configuration names a platform admin.
type naming struct {
	deaf
	user tenancy.UserID
}

func (n naming) Names(u *tenancy.User) bool { return u.ID == n.user }

// Of who gives the most away it is known from where.
func TestWhereAnAdministratorIsAppointedFromIsRecorded(t *testing.T) {
	h := newHouse(t)
	op := h.caller(t, h.has(t, "op", tenancy.OrgMember).User(), tenancy.PlatformAdmin, nil).At(tenancy.Origin{Address: netip.MustParseAddr("192.0.2.1"), Agent: "curl/8"})
	if _, err := h.Appoint(t.Context(), op, "dev", "ann", tenancy.PlatformAuditor); err != nil {
		t.Fatal(err)
	}
	if known, err := h.store.Audit().Values(t.Context(), op.Scope()); err != nil || len(known) != 2 {
		t.Errorf("got %v, %v", known, err)
	}
}
