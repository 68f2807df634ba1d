package admin_test

import (
	"context"
	"iter"
	"testing"
	"time"

	"agentapi/application/access"
	"agentapi/application/admin"
	"agentapi/domain/fault"
	"agentapi/domain/job"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// still does no jobs.
type still struct{}

func (still) Wake()                                                          {}
func (still) Pieces(context.Context, tenancy.Scope) iter.Seq2[[]byte, error] { return nil }
func (still) Pseudonym() tenancy.UserID                                      { return access.UserOf("agentapi", "nobody") }

// An id follows from a name, so that whoever can ask about ids could ask who else there is.
func TestAnAdministratorLearnsOfNobodyElsewhere(t *testing.T) {
	h := newHouse(t)
	h.Data = still{}
	boss, ann, bob, eve := h.has(t, "boss", tenancy.OrgAdmin), h.has(t, "ann", tenancy.OrgMember), h.has(t, "bob", tenancy.OrgMember), access.UserOf("dev", "eve")
	at := time.Now()
	err := h.store.Directory().Enrol(t.Context(), tenancy.Standing{User: &tenancy.User{
		ID: eve, Issuer: "dev", Subject: "eve", Platform: tenancy.PlatformAdmin, Status: tenancy.Active, Version: 1, Created: at, Updated: at,
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []tenancy.Principal{ann, bob} { // ann leaves a conversation behind, bob nothing
		if u == ann {
			v := session.New(session.NewID(at, [10]byte{1}), u.Scope(), session.Key{}, at)
			if err := h.store.Sessions().Create(t.Context(), u.Scope(), v); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.store.Directory().RemoveMember(t.Context(), u.Own(), u.User()); err != nil {
			t.Fatal(err)
		}
	}
	asked := map[string]func(context.Context, tenancy.Principal, tenancy.OrgID, tenancy.UserID, admin.Once) (*job.Job, error){"erase": h.EraseUser, "export": h.ExportUser}
	for name, ask := range asked {
		for range 2 {
			for who, user := range map[string]tenancy.UserID{"nobody": access.UserOf("dev", "nobody"), "somebody elsewhere": eve, "somebody of whom nothing is left": bob.User()} {
				if _, err := ask(t.Context(), boss, h.org, user, admin.Once{}); !fault.Is(err, fault.NotFound) {
					t.Errorf("%s %s: %v", name, who, err)
				}
			}
		}
		if _, err := ask(t.Context(), boss, h.org, ann.User(), admin.Once{}); err != nil {
			t.Errorf("%s who was a member: %v", name, err)
		}
	}
}

// With a user goes what the platform has decided of them: they would come back as new.
func TestAnAdministratorErasesNobodyWhomThePlatformHasSuspended(t *testing.T) {
	h := newHouse(t)
	h.Data = still{}
	boss, ann := h.has(t, "boss", tenancy.OrgOwner), h.has(t, "ann", tenancy.OrgMember)
	err := h.store.Directory().UpdateUser(t.Context(), ann.User(), func(u *tenancy.User, _ int) error {
		u.Status = tenancy.Suspended
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.EraseUser(t.Context(), boss, h.org, ann.User(), admin.Once{}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("got %v", err)
	}
	op := h.caller(t, h.has(t, "op", tenancy.OrgMember).User(), tenancy.PlatformAdmin, nil)
	if _, err := h.EraseUser(t.Context(), op, h.org, ann.User(), admin.Once{}); err != nil {
		t.Errorf("whoever runs the platform: %v", err)
	}
}
