package porttest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// person is somebody on the roster, as they come back from a storage.
func person(in tenancy.Scope, name string) *roster.Person {
	return &roster.Person{
		Org: in.Org(), User: in.User(), External: "00u" + name, UserName: name + "@Example.com", Given: "Ann", Family: "Ünï", Formatted: "Ann Ünï", Display: "Ann",
		Email: "Mail+" + name + "@example.com", Version: 1, Created: moment, Updated: moment, Active: true, Membership: 1,
	}
}

func group(t *testing.T, in tenancy.Scope, name string) *roster.Group {
	t.Helper()
	return &roster.Group{Org: in.Org(), ID: roster.NewGroupID(moment, entropy()), External: "ext-" + name, Name: name, Version: 1, Created: moment, Updated: moment}
}

// listed enrols somebody, and puts them on the roster.
func listed(t *testing.T, s ports.Storage, org, user string) (tenancy.Scope, tenancy.Realm) {
	t.Helper()
	in, realm := enrolled(t, s, org, user)
	must(t, s.Roster().AddPerson(t.Context(), realm, person(in, user)))
	return in, realm
}

func to[T any](v T) *T { return &v }

func rosterPeople(t *testing.T, s ports.Storage) {
	r, ctx, mine := s.Roster(), t.Context(), errors.New("mine")
	ann, realm := enrolled(t, s, "a", "ann")
	is(t, r.AddPerson(ctx, realm, person(someone(t, "a", "nobody"), "x")), fault.NotFound, "member_not_found")
	_, err := r.Person(ctx, realm, ann.User())
	is(t, err, fault.NotFound, "user_not_found")
	want := person(ann, "ann")
	must(t, r.AddPerson(ctx, realm, want))
	is(t, r.AddPerson(ctx, realm, want), fault.Conflict, "uniqueness")
	bob, _ := enrolled(t, s, "a", "bob")
	twin := person(bob, "ann")
	twin.UserName = "ANN@example.COM"
	is(t, r.AddPerson(ctx, realm, twin), fault.Conflict, "uniqueness")
	must(t, r.AddPerson(ctx, realm, person(bob, "bob")))
	listed(t, s, "b", "ann") // the same name in another organisation
	got, err := r.Person(ctx, realm, ann.User())
	must(t, err)
	same(t, got, want)

	later := moment.Add(time.Hour)
	must(t, r.UpdatePerson(ctx, realm, ann.User(), func(p *roster.Person) error {
		p.UserName, p.Display, p.Updated, p.User, p.Version, p.Active, p.Created = "Ann2@example.com", "", later, bob.User(), 9, false, later
		return nil
	}))
	want.UserName, want.Display, want.Updated, want.Version = "Ann2@example.com", "", later, 2
	is(t, r.UpdatePerson(ctx, realm, bob.User(), func(p *roster.Person) error { p.UserName = "ann2@EXAMPLE.com"; return nil }), fault.Conflict, "uniqueness")
	if err := r.UpdatePerson(ctx, realm, ann.User(), func(p *roster.Person) error { p.UserName = "lost"; return mine }); err != mine {
		t.Errorf("got %v", err)
	}
	must(t, s.Directory().UpdateMember(ctx, realm, ann.User(), func(m *tenancy.Member) error { m.Status = tenancy.Suspended; return nil }))
	want.Active, want.Membership = false, 2
	got, err = r.Person(ctx, realm, ann.User())
	must(t, err)
	same(t, got, want)

	for name, c := range map[string]struct {
		f    roster.Filter
		want int
	}{
		"all": {roster.Filter{}, 2}, "a user name in another case": {roster.Filter{UserName: to("ANN2@example.com")}, 1}, "an old one": {roster.Filter{UserName: to("ann@example.com")}, 0},
		"an external id": {roster.Filter{External: to("00ubob")}, 1}, "one in another case": {roster.Filter{External: to("00Ubob")}, 0},
		"an address": {roster.Filter{Email: to("mail+BOB@example.com")}, 1}, "who is active": {roster.Filter{Active: to(true)}, 1}, "who is not": {roster.Filter{Active: to(false)}, 1},
		"both": {roster.Filter{Active: to(true), External: to("00uann")}, 0}, "an id": {roster.Filter{User: to(ann.User())}, 1},
	} {
		found, total, err := r.People(ctx, realm, c.f, 0, 10)
		must(t, err)
		if len(found) != c.want || total != c.want {
			t.Errorf("%s: %d of %d", name, len(found), total)
		}
	}
	var seen []tenancy.UserID
	for skip := range 4 {
		found, total, err := r.People(ctx, realm, roster.Filter{}, skip, 1)
		must(t, err)
		if total != 2 {
			t.Errorf("%d in all", total)
		}
		for _, p := range found {
			seen = append(seen, p.User)
		}
	}
	if len(seen) != 2 || seen[0] == seen[1] {
		t.Errorf("a walk meets %v", seen)
	}
	if found, total, err := r.People(ctx, realm, roster.Filter{}, 0, 0); err != nil || len(found) != 0 || total != 2 {
		t.Errorf("none of all: %v, %d, %v", found, total, err)
	}
}

func rosterGroups(t *testing.T, s ports.Storage) {
	r, ctx, mine := s.Roster(), t.Context(), errors.New("mine")
	ann, realm := listed(t, s, "a", "ann")
	bob, _ := listed(t, s, "a", "bob")
	g, h := group(t, ann, "Admins"), group(t, ann, "Älle")
	must(t, r.AddGroup(ctx, realm, g))
	must(t, r.AddGroup(ctx, realm, h))
	is(t, r.AddGroup(ctx, realm, group(t, ann, "ADMINS")), fault.Conflict, "uniqueness")
	got, err := r.Group(ctx, realm, g.ID)
	must(t, err)
	same(t, got, g)
	who := func(id roster.GroupID, want ...tenancy.UserID) {
		t.Helper()
		got, err := r.Enlisted(ctx, realm, id)
		must(t, err)
		slices.SortFunc(want, func(a, b tenancy.UserID) int { return slices.Compare(a[:], b[:]) })
		if !slices.Equal(got, want) {
			t.Errorf("in the group are %v, want %v", got, want)
		}
	}
	must(t, r.Enlist(ctx, realm, g.ID, []tenancy.UserID{ann.User(), bob.User(), ann.User()}, nil))
	must(t, r.Enlist(ctx, realm, g.ID, []tenancy.UserID{ann.User()}, nil))
	who(g.ID, ann.User(), bob.User())
	is(t, r.Enlist(ctx, realm, g.ID, []tenancy.UserID{someone(t, "a", "nobody").User()}, nil), fault.NotFound, "user_not_found")
	is(t, r.Enlist(ctx, realm, group(t, ann, "none").ID, nil, nil), fault.NotFound, "group_not_found")
	must(t, r.Enlist(ctx, realm, h.ID, []tenancy.UserID{ann.User()}, []tenancy.UserID{bob.User()}))
	of := func(in tenancy.Scope, want int) {
		t.Helper()
		found, err := r.Belongs(ctx, realm, in.User())
		must(t, err)
		if len(found) != want {
			t.Errorf("in %d groups, want %d", len(found), want)
		}
	}
	of(ann, 2)
	of(bob, 1)
	for name, c := range map[string]struct {
		f    roster.GroupFilter
		want int
	}{
		"all": {roster.GroupFilter{}, 2}, "a name in another case": {roster.GroupFilter{Name: to("äLLE")}, 1}, "an external id": {roster.GroupFilter{External: to("ext-Admins")}, 1},
		"who is in it": {roster.GroupFilter{Member: to(bob.User())}, 1}, "an id": {roster.GroupFilter{ID: to(h.ID)}, 1}, "both": {roster.GroupFilter{ID: to(h.ID), Member: to(bob.User())}, 0},
	} {
		found, total, err := r.Groups(ctx, realm, c.f, 0, 10)
		must(t, err)
		if len(found) != c.want || total != c.want {
			t.Errorf("%s: %d of %d", name, len(found), total)
		}
	}
	must(t, r.UpdateGroup(ctx, realm, g.ID, func(v *roster.Group) error { v.Name, v.ID, v.Version = "admins", h.ID, 7; return nil }))
	is(t, r.UpdateGroup(ctx, realm, g.ID, func(v *roster.Group) error { v.Name = "älle"; return nil }), fault.Conflict, "uniqueness")
	if err := r.UpdateGroup(ctx, realm, g.ID, func(v *roster.Group) error { v.Name = "lost"; return mine }); err != mine {
		t.Errorf("got %v", err)
	}
	want := *g
	want.Name, want.Version = "admins", 2
	got, err = r.Group(ctx, realm, g.ID)
	must(t, err)
	same(t, got, &want)

	err = s.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		must(t, tx.Roster().Enlist(ctx, realm, g.ID, nil, []tenancy.UserID{ann.User()}))
		must(t, tx.Roster().RemoveGroup(ctx, realm, h.ID))
		must(t, tx.Directory().RemoveMember(ctx, realm, bob.User()))
		return mine
	})
	if err != mine {
		t.Errorf("got %v", err)
	}
	who(g.ID, ann.User(), bob.User())
	who(h.ID, ann.User())

	// Who leaves the organisation is off the roster and in no group.
	must(t, s.Directory().RemoveMember(ctx, realm, bob.User()))
	who(g.ID, ann.User())
	_, err = r.Person(ctx, realm, bob.User())
	is(t, err, fault.NotFound, "user_not_found")
	_, err = s.Upkeep().Erase(ctx, ann, someone(t, "a", "pseudonym").User(), 100)
	must(t, err)
	who(g.ID)
	must(t, r.RemoveGroup(ctx, realm, h.ID))
	is(t, r.RemoveGroup(ctx, realm, h.ID), fault.NotFound, "group_not_found")
	who(h.ID)
}

func rosterOwners(t *testing.T, s ports.Storage) {
	ctx := t.Context()
	var realm tenancy.Realm
	for _, name := range []string{"ann", "bob", "eve", "dan"} {
		var in tenancy.Scope
		in, realm = enrolled(t, s, "a", name)
		must(t, s.Directory().UpdateMember(ctx, realm, in.User(), func(m *tenancy.Member) error {
			if name != "dan" {
				m.Role = tenancy.OrgOwner
			}
			if name == "eve" {
				m.Status = tenancy.Suspended
			}
			return nil
		}))
	}
	owners, err := s.Roster().Owners(ctx, realm)
	must(t, err)
	if len(owners) != 2 {
		t.Errorf("%d owners", len(owners))
	}
}

func rosterRealms(t *testing.T, s ports.Storage) {
	ann, own := listed(t, s, "a", "ann")
	eve, _ := listed(t, s, "b", "eve")
	r, ctx := s.Roster(), t.Context()
	g := group(t, ann, "Admins")
	must(t, r.AddGroup(ctx, own, g))
	must(t, r.Enlist(ctx, own, g.ID, []tenancy.UserID{ann.User()}, nil))
	for who, in := range map[string]tenancy.Realm{"another's": tenancy.RealmOf(eve.Org()), "nobody's": {}} {
		for name, err := range map[string]error{
			"AddPerson":    r.AddPerson(ctx, in, person(ann, "ann")),
			"UpdatePerson": r.UpdatePerson(ctx, in, ann.User(), func(*roster.Person) error { return nil }),
			"AddGroup":     r.AddGroup(ctx, in, group(t, ann, "x")),
			"UpdateGroup":  r.UpdateGroup(ctx, in, g.ID, func(*roster.Group) error { return nil }),
			"RemoveGroup":  r.RemoveGroup(ctx, in, g.ID),
			"Enlist":       r.Enlist(ctx, in, g.ID, []tenancy.UserID{eve.User()}, []tenancy.UserID{ann.User()}),
		} {
			if !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Forbidden) {
				t.Errorf("%s realm, %s: got %v", who, name, err)
			}
		}
		_, err := r.Person(ctx, in, ann.User())
		is(t, err, fault.NotFound, "user_not_found")
		_, err = r.Group(ctx, in, g.ID)
		is(t, err, fault.NotFound, "group_not_found")
		people, _, err := r.People(ctx, in, roster.Filter{External: to("00uann")}, 0, 10)
		must(t, err)
		groups, total, err := r.Groups(ctx, in, roster.GroupFilter{}, 0, 10)
		must(t, err)
		in1, err := r.Enlisted(ctx, in, g.ID)
		must(t, err)
		of, err := r.Belongs(ctx, in, ann.User())
		must(t, err)
		owners, err := r.Owners(ctx, in)
		must(t, err)
		if len(people)+len(groups)+total+len(in1)+len(of)+len(owners) != 0 {
			t.Errorf("%s realm finds something", who)
		}
	}
	// A member of another organisation is put into no group of this one.
	is(t, r.Enlist(ctx, own, g.ID, []tenancy.UserID{eve.User()}, nil), fault.NotFound, "user_not_found")
	if found, err := r.Enlisted(ctx, own, g.ID); err != nil || len(found) != 1 {
		t.Errorf("got %v, %v", found, err)
	}
}
