package access_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"agentapi/adapters/storage/memory"
	"agentapi/application/access"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// inviting is a storage with an organisation of the issuer's i that has invited
// ann@example.com until a moment.
func inviting(t *testing.T, until time.Time) (*memory.Store, *tenancy.Invitation) {
	t.Helper()
	s, err := memory.Open(memory.Options{MaxSessions: 1, MaxBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	org := access.OrgOf("i", "o")
	made := &tenancy.Invitation{
		ID: tenancy.NewInvitationID(until, [10]byte{1}), Org: org, Email: "ann@example.com", Role: tenancy.OrgAuditor, By: access.UserOf("i", "owner"),
		Status: tenancy.Pending, Expires: until, Created: until.Add(-time.Hour), Updated: until.Add(-time.Hour),
	}
	err = s.Directory().Enrol(t.Context(), tenancy.Standing{Org: &tenancy.Org{ID: org, Issuer: "i", Name: "o", Title: "O", Status: tenancy.Active, Version: 1}})
	if err == nil {
		err = s.Directory().CreateInvitation(t.Context(), tenancy.RealmOf(org), made)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, made
}

// shut refuses strangers.
func shut(t *testing.T, s ports.Storage, who tenancy.Identity) *access.Service {
	t.Helper()
	return opened(t, access.Params{Storage: s, Chain: []ports.Authenticator{door{knows: "x", who: who}}, Strangers: access.Strangers{RefuseOrgs: true, RefuseUsers: true}})
}

func TestAnInvitationBringsInWhoeverHasTheAddress(t *testing.T) {
	ann := tenancy.Identity{Issuer: "i", Subject: "ann", Org: "o", Email: "ANN@example.com", Role: tenancy.OrgOwner}
	hour := time.Now().Add(time.Hour)
	for name, x := range map[string]struct {
		who    func(*tenancy.Identity)
		before func(d ports.Directory, i *tenancy.Invitation) error
		code   string // empty: they come in
	}{
		"by its name":                {},
		"without naming it":          {who: func(w *tenancy.Identity) { w.Org = "" }},
		"without the address":        {who: func(w *tenancy.Identity) { w.Email = "" }, code: "user_unknown"},
		"with nothing":               {who: func(w *tenancy.Identity) { w.Org, w.Email = "", "" }, code: "org_required"},
		"another's":                  {who: func(w *tenancy.Identity) { w.Email = "ann@example.co" }, code: "user_unknown"},
		"at another's":               {who: func(w *tenancy.Identity) { w.Org = "p" }, code: "org_unknown"},
		"by another issuer":          {who: func(w *tenancy.Identity) { w.Issuer = "j" }, code: "org_unknown"},
		"by another issuer, unnamed": {who: func(w *tenancy.Identity) { w.Issuer, w.Org = "j", "" }, code: "org_required"},
		"too late": {before: func(d ports.Directory, i *tenancy.Invitation) error {
			return d.UpdateInvitation(t.Context(), tenancy.RealmOf(i.Org), i.ID, func(i *tenancy.Invitation) error { i.Expires = time.Now().Add(-time.Second); return nil })
		}, code: "user_unknown"},
		"taken back": {before: func(d ports.Directory, i *tenancy.Invitation) error {
			return d.UpdateInvitation(t.Context(), tenancy.RealmOf(i.Org), i.ID, func(i *tenancy.Invitation) error { return i.Revoke(time.Now()) })
		}, who: func(w *tenancy.Identity) { w.Org = "" }, code: "org_required"},
		"to who is suspended": {before: func(d ports.Directory, i *tenancy.Invitation) error {
			return d.Enrol(t.Context(), tenancy.Standing{User: &tenancy.User{ID: access.UserOf("i", "ann"), Issuer: "i", Subject: "ann", Status: tenancy.Suspended}})
		}, code: "user_unknown"},
		"to what is suspended": {before: func(d ports.Directory, i *tenancy.Invitation) error {
			return d.UpdateOrg(t.Context(), i.Org, func(o *tenancy.Org) error { o.Status = tenancy.Suspended; return nil })
		}, code: "user_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			s, i := inviting(t, hour)
			who := ann
			if x.who != nil {
				x.who(&who)
			}
			if x.before != nil {
				if err := x.before(s.Directory(), i); err != nil {
					t.Fatal(err)
				}
			}
			p, err := shut(t, s, who).Authenticate(t.Context(), "x", tenancy.Origin{})
			left, lost := s.Directory().Invitation(t.Context(), tenancy.RealmOf(i.Org), i.ID)
			if lost != nil {
				t.Fatal(lost)
			}
			if x.code != "" {
				if f := fault.As(err); f == nil || f.Code != x.code || left.Status == tenancy.Accepted {
					t.Errorf("got %v; the invitation is %s", err, left.Status)
				}
				return
			}
			if err != nil || p.Org() != i.Org || p.Role() != tenancy.OrgAuditor || left.Status != tenancy.Accepted || left.User != p.User() {
				t.Errorf("got %v in %v, %v; the invitation is %+v", p.Role(), p.Org(), err, left)
			}
		})
	}
}

// Whoever comes many times at once is brought in once.
func TestAnInvitationIsAcceptedOnce(t *testing.T) {
	s, i := inviting(t, time.Now().Add(time.Hour))
	who := tenancy.Identity{Issuer: "i", Subject: "ann", Email: "ann@example.com"}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if p, err := shut(t, s, who).Authenticate(t.Context(), "x", tenancy.Origin{}); err != nil || p.Org() != i.Org {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
	all.Wait()
	members, err := s.Directory().Members(t.Context(), tenancy.RealmOf(i.Org), tenancy.MemberFilter{}, page.Query{Limit: 9})
	if err != nil || len(members.Items) != 1 || !members.Items[0].Given || members.Items[0].Email != "ann@example.com" {
		t.Errorf("members are %+v, %v", members.Items, err)
	}
	if left, err := s.Directory().Invitation(t.Context(), tenancy.RealmOf(i.Org), i.ID); err != nil || left.Version != 2 {
		t.Errorf("the invitation is %+v, %v", left, err)
	}
}

// interrupted is a storage in which something happens just after invitations were
// looked up, once.
type interrupted struct {
	*memory.Store
	happens func()
}

func (s *interrupted) Directory() ports.Directory {
	return interruptedDirectory{s.Store.Directory(), s}
}

type interruptedDirectory struct {
	ports.Directory
	s *interrupted
}

func (d interruptedDirectory) Invitations(ctx context.Context, in tenancy.Realm, f tenancy.InvitationFilter, q page.Query) (page.Of[*tenancy.Invitation], error) {
	found, err := d.Directory.Invitations(ctx, in, f, q)
	if happens := d.s.happens; happens != nil {
		d.s.happens = nil
		happens()
	}
	return found, err
}

func TestWhatBecomesOfAnInvitationMeanwhileCounts(t *testing.T) {
	who := tenancy.Identity{Issuer: "i", Subject: "ann", Email: "ann@example.com"}
	s, i := inviting(t, time.Now().Add(time.Hour))
	between := &interrupted{Store: s, happens: func() {
		if _, err := shut(t, s, who).Authenticate(t.Context(), "x", tenancy.Origin{}); err != nil {
			t.Error(err)
		}
	}}
	if p, err := shut(t, between, who).Authenticate(t.Context(), "x", tenancy.Origin{}); err != nil || p.Org() != i.Org {
		t.Errorf("accepted: got %v, %v", p, err)
	}
	s, i = inviting(t, time.Now().Add(time.Hour))
	between = &interrupted{Store: s, happens: func() {
		err := s.Directory().UpdateInvitation(t.Context(), tenancy.RealmOf(i.Org), i.ID, func(i *tenancy.Invitation) error { return i.Revoke(time.Now()) })
		if err != nil {
			t.Error(err)
		}
	}}
	if _, err := shut(t, between, who).Authenticate(t.Context(), "x", tenancy.Origin{}); fault.As(err) == nil || fault.As(err).Code != "org_required" {
		t.Errorf("taken back: got %v", err)
	}
}
