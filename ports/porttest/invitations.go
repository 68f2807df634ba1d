package porttest

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

func newInvitation(by tenancy.Scope, email string) *tenancy.Invitation {
	return &tenancy.Invitation{
		ID: tenancy.NewInvitationID(moment, entropy()), Org: by.Org(), Email: email, Role: tenancy.OrgAdmin, By: by.User(), Status: tenancy.Pending,
		Expires: moment.Add(time.Hour), Version: 1, Created: moment, Updated: moment,
	}
}

func invitations(t *testing.T, s ports.Storage) {
	ann, realm := enrolled(t, s, "a", "ann")
	d, ctx := s.Directory(), t.Context()
	i := newInvitation(ann, "Bob.Ünï@Example.com")
	must(t, d.CreateInvitation(ctx, realm, i))
	got, err := d.Invitation(ctx, realm, i.ID)
	must(t, err)
	same(t, got, i)
	again := newInvitation(ann, "bob.Ünï@example.COM")
	is(t, d.CreateInvitation(ctx, realm, again), fault.Conflict, "invitation_exists")
	other := newInvitation(ann, "bob.üNï@example.com") // another's address
	must(t, d.CreateInvitation(ctx, realm, other))

	// One whose time has passed makes room.
	again.Created, again.Updated, again.Expires = i.Expires, i.Expires, i.Expires.Add(time.Hour)
	must(t, d.CreateInvitation(ctx, realm, again))
	late := *i
	late.Status, late.Updated, late.Version = tenancy.Expired, i.Expires, 2
	got, err = d.Invitation(ctx, realm, i.ID)
	must(t, err)
	same(t, got, &late)

	bob := someone(t, "a", "bob").User()
	must(t, d.UpdateInvitation(ctx, realm, again.ID, func(i *tenancy.Invitation) error {
		i.Email, i.ID, i.Version = "never", tenancy.InvitationID{}, 40
		return i.Accept(bob, again.Created)
	}))
	want := *again
	want.Status, want.User, want.Accepted, want.Version = tenancy.Accepted, bob, again.Created, 2
	got, err = d.Invitation(ctx, realm, again.ID)
	must(t, err)
	same(t, got, &want)
	is(t, d.UpdateInvitation(ctx, realm, again.ID, func(i *tenancy.Invitation) error { return i.Accept(bob, moment) }), fault.Conflict, "invitation_ended")
	is(t, d.UpdateInvitation(ctx, realm, tenancy.NewInvitationID(moment, entropy()), func(*tenancy.Invitation) error { return nil }), fault.NotFound, "invitation_not_found")

	for name, x := range map[string]struct {
		f    tenancy.InvitationFilter
		want int
	}{
		"all":                    {tenancy.InvitationFilter{}, 3},
		"an address":             {tenancy.InvitationFilter{Email: "BOB.Ünï@example.com"}, 2},
		"pending":                {tenancy.InvitationFilter{Status: []tenancy.InvitationStatus{tenancy.Pending}, At: moment}, 1},
		"pending, an hour later": {tenancy.InvitationFilter{Status: []tenancy.InvitationStatus{tenancy.Pending}, At: other.Expires}, 0},
		"expired, an hour later": {tenancy.InvitationFilter{Status: []tenancy.InvitationStatus{tenancy.Expired}, At: other.Expires}, 2},
		"over":                   {tenancy.InvitationFilter{Status: []tenancy.InvitationStatus{tenancy.Expired, tenancy.Accepted}, At: moment}, 2},
		"revoked":                {tenancy.InvitationFilter{Status: []tenancy.InvitationStatus{tenancy.Revoked}, At: moment}, 0},
	} {
		p, err := d.Invitations(ctx, realm, x.f, page.Query{Limit: 10})
		must(t, err)
		if len(p.Items) != x.want {
			t.Errorf("%s: %d are listed", name, len(p.Items))
		}
		for _, i := range p.Items {
			if !x.f.Chooses(i) {
				t.Errorf("%s: %+v is listed", name, i)
			}
		}
	}
	first, err := d.Invitations(ctx, realm, tenancy.InvitationFilter{}, page.Query{Limit: 2, Desc: true})
	must(t, err)
	rest, err := d.Invitations(ctx, realm, tenancy.InvitationFilter{}, page.Query{Limit: 2, Desc: true, After: first.Items[1].ID.String()})
	must(t, err)
	if !first.More || rest.More || len(rest.Items) != 1 || rest.Items[0].ID != i.ID {
		t.Errorf("the pages are %+v and %+v", first, rest)
	}
}

func invitationsElsewhere(t *testing.T, s ports.Storage) {
	ann, own := enrolled(t, s, "a", "ann")
	eve, theirs := enrolled(t, s, "b", "eve")
	d, ctx := s.Directory(), t.Context()
	i := newInvitation(ann, "bob@example.com")
	must(t, d.CreateInvitation(ctx, own, i))
	for who, in := range map[string]tenancy.Realm{"another's": theirs, "nobody's": {}} {
		for name, err := range map[string]error{
			"CreateInvitation": d.CreateInvitation(ctx, in, newInvitation(ann, "x@example.com")),
			"UpdateInvitation": d.UpdateInvitation(ctx, in, i.ID, func(*tenancy.Invitation) error { return nil }),
		} {
			if !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Forbidden) {
				t.Errorf("%s realm, %s: got %v", who, name, err)
			}
		}
		_, err := d.Invitation(ctx, in, i.ID)
		is(t, err, fault.NotFound, "invitation_not_found")
		p, err := d.Invitations(ctx, in, tenancy.InvitationFilter{}, page.Query{Limit: 10})
		must(t, err)
		if len(p.Items) != 0 {
			t.Errorf("%s realm lists invitations", who)
		}
	}
	// The same address may be invited elsewhere; who names no organisation finds the first.
	second := newInvitation(eve, "BOB@example.com")
	must(t, d.CreateInvitation(ctx, theirs, second))
	find := func(issuer, email string, at time.Time, want *tenancy.Invitation) {
		t.Helper()
		got, err := d.FindInvitation(ctx, issuer, email, at)
		if want == nil {
			is(t, err, fault.NotFound, "invitation_not_found")
			return
		}
		must(t, err)
		same(t, got, want)
	}
	const issuer = "https://issuer"
	find(issuer, "Bob@Example.com", moment, i)
	find(issuer, "bob@example.com", i.Expires, nil)
	find("https://another", "bob@example.com", moment, nil)
	find(issuer, "bob@example.comx", moment, nil)
	find(issuer, "", moment, nil)
	must(t, d.UpdateOrg(ctx, ann.Org(), func(o *tenancy.Org) error { o.Status = tenancy.Suspended; return nil }))
	find(issuer, "bob@example.com", moment, second)
	must(t, d.UpdateInvitation(ctx, theirs, second.ID, func(i *tenancy.Invitation) error { return i.Revoke(moment) }))
	find(issuer, "bob@example.com", moment, nil)
	must(t, d.CreateInvitation(ctx, theirs, newInvitation(eve, "bob@example.com"))) // it made room

	must(t, d.UpdateUser(ctx, eve.User(), func(u *tenancy.User, _ int) error { u.Home = eve.Org(); return nil }))
	got, err := d.Standing(ctx, tenancy.OrgID{}, eve.User())
	must(t, err)
	if got.User == nil || got.User.Home != eve.Org() || got.Org != nil || got.Member != nil {
		t.Errorf("without an organisation is known %+v", got)
	}
}

// oneInvitation has many invite one address at once.
func oneInvitation(t *testing.T, s ports.Storage) {
	ann, realm := enrolled(t, s, "a", "ann")
	var (
		all  sync.WaitGroup
		made atomic.Int32
	)
	for range 8 {
		i := newInvitation(ann, "bob@example.com")
		all.Go(func() {
			switch err := s.Directory().CreateInvitation(t.Context(), realm, i); {
			case err == nil:
				made.Add(1)
			case !fault.Is(err, fault.Conflict):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d invitations were made", made.Load())
	}
}

// erasesInvitations wants nothing left of a user in invitations, nor of their address
// in what the audit log knows.
func erasesInvitations(t *testing.T, s ports.Storage) {
	ann, realm := enrolled(t, s, "a", "ann") // ann@example.com
	bob := someone(t, "a", "bob")
	d, ctx := s.Directory(), t.Context()
	before, brought, made := newInvitation(bob, "ANN@example.com"), newInvitation(bob, "old@example.com"), newInvitation(ann, "carol@example.com")
	earlier := newInvitation(bob, "OLD@example.com")
	for _, i := range []*tenancy.Invitation{earlier, before, brought, made} {
		must(t, d.CreateInvitation(ctx, realm, i))
		if i == earlier {
			must(t, d.UpdateInvitation(ctx, realm, i.ID, func(i *tenancy.Invitation) error { return i.Revoke(moment) }))
		}
		guest := realm.Of(i.Guest())
		subject, err := s.Audit().Subject(ctx, guest, audit.NewSubject(moment, [42]byte{i.ID[15]}))
		must(t, err)
		entry, err := audit.New(audit.Fields{
			ID: audit.NewID(moment, entropy()), Org: realm.Org(), Actor: audit.System, Action: audit.InvitationCreated, Outcome: audit.OK, Instance: "i", At: moment,
			Target: subject.ID.String(), Subject: subject, Personal: map[string]string{"email": i.Email},
		})
		must(t, err)
		must(t, s.Audit().Append(ctx, entry))
	}
	must(t, d.UpdateInvitation(ctx, realm, brought.ID, func(i *tenancy.Invitation) error { return i.Accept(ann.User(), moment) }))
	known := func(i *tenancy.Invitation) string {
		t.Helper()
		values, err := s.Audit().Values(ctx, realm.Of(i.Guest()))
		must(t, err)
		var out []string
		for _, v := range values {
			out = append(out, v.Clear)
		}
		return strings.Join(out, " ")
	}
	if known(brought) != brought.Email {
		t.Fatalf("the log knows %q, so that this tests nothing", known(brought))
	}
	pseudonym := someone(t, "a", "pseudonym").User()
	for n := -1; n != 0; {
		var err error
		n, err = s.Upkeep().Erase(ctx, ann, pseudonym, 1)
		must(t, err)
	}
	p, err := d.Invitations(ctx, realm, tenancy.InvitationFilter{}, page.Query{Limit: 10})
	must(t, err)
	if len(p.Items) != 1 || p.Items[0].ID != made.ID || p.Items[0].By != pseudonym {
		t.Errorf("left are %+v", p.Items)
	}
	if known(earlier)+known(before)+known(brought) != "" || known(made) != made.Email {
		t.Errorf("the log knows %q, %q, %q and %q", known(earlier), known(before), known(brought), known(made))
	}
}
