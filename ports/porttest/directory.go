package porttest

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// moment is a time as storages give it back.
var moment = session.Moment(start)

// standing is somebody's, as it comes back from a storage.
func standing(in tenancy.Scope) tenancy.Standing {
	return tenancy.Standing{
		Org: &tenancy.Org{
			ID: in.Org(), Issuer: "https://issuer", Name: "acme", Title: "Ąčme", Status: tenancy.Active, Version: 1, Created: moment, Updated: moment,
		},
		User: &tenancy.User{ID: in.User(), Issuer: "https://issuer", Subject: "user_1", Status: tenancy.Active, Version: 1, Created: moment, Updated: moment},
		Member: &tenancy.Member{
			Org: in.Org(), User: in.User(), Name: "Ann Ünï", Email: "ann@example.com", Role: tenancy.OrgMember, Status: tenancy.Active,
			Version: 1, Created: moment, Updated: moment,
		},
	}
}

func enrolled(t *testing.T, s ports.Storage, org, user string) (tenancy.Scope, tenancy.Realm) {
	t.Helper()
	in := someone(t, org, user)
	must(t, s.Directory().Enrol(t.Context(), standing(in)))
	return in, tenancy.RealmOf(in.Org())
}

func newKey(in tenancy.Scope) *tenancy.APIKey {
	return &tenancy.APIKey{
		ID: tenancy.NewKeyID(moment, entropy()), Org: in.Org(), User: in.User(), Name: "a key", Hint: "aak_0123…wxyz",
		Hash: [32]byte{1, 2, 255}, Pepper: [tenancy.PepperMark]byte{9, 8}, Role: tenancy.OrgMember, Version: 1, Created: moment, Updated: moment,
	}
}

func standings(t *testing.T, s ports.Storage) {
	ann, bob := someone(t, "a", "ann"), someone(t, "a", "bob")
	d := s.Directory()
	got, err := d.Standing(t.Context(), ann.Org(), ann.User())
	must(t, err)
	same(t, got, tenancy.Standing{})
	want := standing(ann)
	must(t, d.Enrol(t.Context(), want))
	got, err = d.Standing(t.Context(), ann.Org(), ann.User())
	must(t, err)
	same(t, got, want)
	other := standing(ann) // what is there stays as it is
	other.Org.Title, other.User.Status, other.Member.Role = "x", tenancy.Suspended, tenancy.OrgOwner
	must(t, d.Enrol(t.Context(), other))
	got, err = d.Standing(t.Context(), ann.Org(), ann.User())
	must(t, err)
	same(t, got, want)
	got, err = d.Standing(t.Context(), ann.Org(), bob.User())
	must(t, err)
	same(t, got, tenancy.Standing{Org: want.Org})
	got.Org.Title = "changed" // it is the caller's own
	again, err := d.Org(t.Context(), ann.Org())
	must(t, err)
	same(t, again, want.Org)
	_, err = d.Org(t.Context(), someone(t, "none", "x").Org())
	is(t, err, fault.NotFound, "org_not_found")
}

func directoryUpdates(t *testing.T, s ports.Storage) {
	ann, realm := enrolled(t, s, "a", "ann")
	d, ctx, mine, later := s.Directory(), t.Context(), errors.New("mine"), moment.Add(time.Hour)
	must(t, d.UpdateOrg(ctx, ann.Org(), func(o *tenancy.Org) error {
		o.Title, o.Status, o.Updated, o.Name, o.ID, o.Version = "new", tenancy.Suspended, later, "never", tenancy.OrgID{}, 40
		o.Keeps, o.Models = tenancy.Keeps{Sessions: 36 * time.Hour, Usage: time.Hour}, "a/b\nc*"
		return nil
	}))
	must(t, d.UpdateUser(ctx, ann.User(), func(u *tenancy.User, others int) error {
		if others != 0 {
			t.Errorf("there are %d other admins", others)
		}
		u.Platform, u.Subject, u.Updated = tenancy.PlatformAdmin, "never", later
		return nil
	}))
	must(t, d.UpdateMember(ctx, realm, ann.User(), func(m *tenancy.Member) error {
		m.Role, m.Given, m.Name, m.Email, m.Updated = tenancy.OrgOwner, true, "", "", later
		return nil
	}))
	if err := d.UpdateOrg(ctx, ann.Org(), func(o *tenancy.Org) error { o.Title = "lost"; return mine }); err != mine {
		t.Errorf("got %v", err)
	}
	want := standing(ann)
	want.Org.Title, want.Org.Status, want.Org.Updated, want.Org.Version = "new", tenancy.Suspended, later, 2
	want.Org.Keeps, want.Org.Models = tenancy.Keeps{Sessions: 36 * time.Hour, Usage: time.Hour}, "a/b\nc*"
	want.User.Platform, want.User.Updated, want.User.Version = tenancy.PlatformAdmin, later, 2
	want.Member.Role, want.Member.Given, want.Member.Name, want.Member.Email = tenancy.OrgOwner, true, "", ""
	want.Member.Updated, want.Member.Version = later, 2
	got, err := d.Standing(ctx, ann.Org(), ann.User())
	must(t, err)
	same(t, got, want)
	none := someone(t, "none", "none")
	is(t, d.UpdateOrg(ctx, none.Org(), func(*tenancy.Org) error { return nil }), fault.NotFound, "org_not_found")
	is(t, d.UpdateUser(ctx, none.User(), func(*tenancy.User, int) error { return nil }), fault.NotFound, "user_not_found")
	is(t, d.UpdateMember(ctx, realm, none.User(), func(*tenancy.Member) error { return nil }), fault.NotFound, "member_not_found")
	err = s.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		must(t, tx.Directory().UpdateOrg(ctx, ann.Org(), func(o *tenancy.Org) error { o.Title = "lost"; return nil }))
		must(t, tx.Directory().RemoveMember(ctx, realm, ann.User()))
		return mine
	})
	if err != mine {
		t.Errorf("got %v", err)
	}
	got, err = d.Standing(ctx, ann.Org(), ann.User())
	must(t, err)
	same(t, got, want)
}

func directoryLists(t *testing.T, s ports.Storage) {
	d, ctx := s.Directory(), t.Context()
	var orgs, people int
	for _, org := range []string{"a", "b", "c"} {
		for _, user := range []string{"x", "y", "z"} {
			enrolled(t, s, org, user)
		}
	}
	for after := ""; ; {
		p, err := d.Orgs(ctx, tenancy.OrgFilter{}, page.Query{Limit: 2, After: after})
		must(t, err)
		if orgs += len(p.Items); !p.More {
			break
		}
		after = p.Items[len(p.Items)-1].ID.String()
	}
	in := someone(t, "b", "x")
	for q, turn := (page.Query{Limit: 1, Desc: true}), 0; turn < 9; turn++ {
		p, err := d.Members(ctx, tenancy.RealmOf(in.Org()), tenancy.MemberFilter{}, q)
		must(t, err)
		if people += len(p.Items); !p.More {
			break
		}
		if p.Items[0].Org != in.Org() {
			t.Errorf("a member of another organisation is listed: %+v", p.Items[0])
		}
		q.After = p.Items[0].User.String()
	}
	all, err := d.Users(ctx, tenancy.UserFilter{}, page.Query{Limit: 100})
	must(t, err)
	if orgs != 3 || people != 3 || len(all.Items) != 3 {
		t.Errorf("%d organisations, %d members, %d users", orgs, people, len(all.Items))
	}
	must(t, d.UpdateUser(ctx, in.User(), func(u *tenancy.User, _ int) error { u.Platform = tenancy.PlatformAuditor; return nil }))
	admins, err := d.Users(ctx, tenancy.UserFilter{Platform: true}, page.Query{Limit: 100})
	must(t, err)
	if len(admins.Items) != 1 || admins.Items[0].ID != in.User() {
		t.Errorf("on the platform are %+v", admins.Items)
	}
	_, err = d.Orgs(ctx, tenancy.OrgFilter{}, page.Query{Limit: 1, After: "nonsense"})
	is(t, err, fault.Invalid, "invalid_cursor")
}

func apiKeys(t *testing.T, s ports.Storage) {
	ann, realm := enrolled(t, s, "a", "ann")
	bob, _ := enrolled(t, s, "a", "bob")
	d, ctx := s.Directory(), t.Context()
	plain, full := newKey(ann), newKey(bob)
	full.Role, full.Expires, full.LastUsed, full.Revoked = tenancy.OrgAdmin, moment.Add(time.Hour), moment.Add(time.Minute), moment.Add(time.Second)
	full.SCIM = true
	full.Models = []string{"gpt-*", "droid/ünï:free"}
	full.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for _, k := range []*tenancy.APIKey{plain, full} {
		must(t, d.CreateKey(ctx, realm, k))
		got, err := d.FindKey(ctx, k.ID)
		must(t, err)
		same(t, got, k)
		got, err = d.Key(ctx, realm, k.ID)
		must(t, err)
		same(t, got, k)
	}
	is(t, d.CreateKey(ctx, realm, plain), fault.Conflict, "")
	stranger := newKey(someone(t, "a", "nobody"))
	is(t, d.CreateKey(ctx, realm, stranger), fault.NotFound, "member_not_found")
	must(t, d.UpdateKey(ctx, realm, plain.ID, func(k *tenancy.APIKey) error {
		k.Revoked, k.Name, k.User, k.Org, k.Hash = moment, "other", bob.User(), tenancy.OrgID{}, [32]byte{7}
		return nil
	}))
	want := *plain
	want.Revoked, want.Name, want.Hash, want.Version = moment, "other", [32]byte{7}, 2
	got, err := d.FindKey(ctx, plain.ID)
	must(t, err)
	same(t, got, &want)
	must(t, d.TouchKey(ctx, realm, plain.ID, moment.Add(time.Minute)))
	want.LastUsed = moment.Add(time.Minute)
	got, err = d.Key(ctx, realm, plain.ID)
	must(t, err)
	same(t, got, &want)
	must(t, d.TouchKey(ctx, realm, tenancy.NewKeyID(moment, entropy()), moment))
	of := func(owner tenancy.UserID) int {
		t.Helper()
		p, err := d.Keys(ctx, realm, tenancy.KeyFilter{Owner: owner}, page.Query{Limit: 10})
		must(t, err)
		return len(p.Items)
	}
	if of(ann.User()) != 1 || of(tenancy.UserID{}) != 2 {
		t.Errorf("%d and %d keys are listed", of(ann.User()), of(tenancy.UserID{}))
	}
	must(t, d.RemoveMember(ctx, realm, ann.User()))
	is(t, d.RemoveMember(ctx, realm, ann.User()), fault.NotFound, "member_not_found")
	_, err = d.FindKey(ctx, plain.ID)
	is(t, err, fault.NotFound, "key_not_found")
	_, err = d.Member(ctx, realm, ann.User())
	is(t, err, fault.NotFound, "member_not_found")
	if of(tenancy.UserID{}) != 1 {
		t.Error("another's key went along")
	}
}

func realms(t *testing.T, s ports.Storage) {
	ann, own := enrolled(t, s, "a", "ann")
	enrolled(t, s, "b", "eve")
	d, ctx := s.Directory(), t.Context()
	k := newKey(ann)
	must(t, d.CreateKey(ctx, own, k))
	for who, in := range map[string]tenancy.Realm{"another's": tenancy.RealmOf(someone(t, "b", "eve").Org()), "nobody's": {}} {
		writes := map[string]error{
			"UpdateMember": d.UpdateMember(ctx, in, ann.User(), func(*tenancy.Member) error { return nil }),
			"RemoveMember": d.RemoveMember(ctx, in, ann.User()),
			"UpdateKey":    d.UpdateKey(ctx, in, k.ID, func(*tenancy.APIKey) error { return nil }),
			"CreateKey":    d.CreateKey(ctx, in, newKey(ann)),
		}
		for name, err := range writes {
			if !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Forbidden) {
				t.Errorf("%s realm, %s: got %v", who, name, err)
			}
		}
		_ = d.TouchKey(ctx, in, k.ID, moment)
		_, err := d.Key(ctx, in, k.ID)
		is(t, err, fault.NotFound, "key_not_found")
		_, err = d.Member(ctx, in, ann.User())
		is(t, err, fault.NotFound, "member_not_found")
		keys, err := d.Keys(ctx, in, tenancy.KeyFilter{Owner: ann.User()}, page.Query{Limit: 10})
		must(t, err)
		members, err := d.Members(ctx, in, tenancy.MemberFilter{}, page.Query{Limit: 10})
		must(t, err)
		for _, m := range members.Items {
			if m.Org == ann.Org() {
				t.Errorf("%s realm lists %+v", who, m)
			}
		}
		if len(keys.Items) != 0 {
			t.Errorf("%s realm lists keys", who)
		}
	}
	got, err := d.Key(ctx, own, k.ID)
	must(t, err)
	same(t, got, k)
}

// lastAdmin has all platform admins resign at once, each only if another is left.
func lastAdmin(t *testing.T, s ports.Storage) {
	names := []string{"1", "2", "3", "4", "5", "6"}
	var left atomic.Int64
	left.Store(int64(len(names)))
	for _, name := range names {
		in, _ := enrolled(t, s, "a", name)
		must(t, s.Directory().UpdateUser(t.Context(), in.User(), func(u *tenancy.User, _ int) error { u.Platform = tenancy.PlatformAdmin; return nil }))
	}
	last := errors.New("the last")
	var all sync.WaitGroup
	for _, name := range names {
		in := someone(t, "a", name)
		all.Go(func() {
			err := s.Directory().UpdateUser(t.Context(), in.User(), func(u *tenancy.User, others int) error {
				if others == 0 {
					return last
				}
				u.Platform = ""
				return nil
			})
			if err == nil {
				left.Add(-1)
			} else if err != last {
				t.Error(err)
			}
		})
	}
	all.Wait()
	p, err := s.Directory().Users(t.Context(), tenancy.UserFilter{Platform: true}, page.Query{Limit: 10})
	must(t, err)
	if len(p.Items) != 1 || left.Load() != 1 {
		t.Errorf("%d admins are left; %d were refused to go", len(p.Items), left.Load())
	}
}
