package memory

import (
	"bytes"
	"context"
	"maps"
	"math"
	"slices"

	"agentapi/domain/fault"
	"agentapi/domain/roster"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// rolls is what identity providers say. What is stored is never changed, but replaced.
type rolls struct {
	people map[owner]*roster.Person
	groups map[roster.GroupID]*roster.Group
	lists  map[enlisted]*struct{}
}

// enlisted is that somebody is in a group.
type enlisted struct {
	group roster.GroupID
	who   owner
}

func newRolls() rolls {
	return rolls{make(map[owner]*roster.Person), make(map[roster.GroupID]*roster.Group), make(map[enlisted]*struct{})}
}

// strike takes somebody off the roster, until the transaction fails.
func (s *Store) strike(who owner) {
	put(s, s.rolls.people, who, nil)
	for e := range maps.Clone(s.rolls.lists) {
		if e.who == who {
			put(s, s.rolls.lists, e, nil)
		}
	}
}

type rosters struct{ directory }

// person gives somebody as their membership makes them.
func (r rosters) person(p *roster.Person) *roster.Person {
	c := *p
	m := r.s.register.members[owner{p.Org, p.User}]
	c.Active, c.Membership = m.Status == tenancy.Active, m.Version
	return &c
}

// taken tells whether another has the user name.
func (r rosters) taken(p *roster.Person) bool {
	for who, other := range r.s.rolls.people {
		if who.org == p.Org && who.user != p.User && roster.Fold(other.UserName) == roster.Fold(p.UserName) {
			return true
		}
	}
	return false
}

// AddPerson stores somebody.
func (r rosters) AddPerson(ctx context.Context, in tenancy.Realm, p *roster.Person) error {
	leave, err := r.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	at := owner{in.Org(), p.User}
	switch {
	case p.Org != in.Org():
		return forbidden()
	case r.s.register.members[at] == nil:
		return tenancy.NoMember()
	case r.s.rolls.people[at] != nil || r.taken(p):
		return roster.Taken("userName")
	}
	c := *p
	c.Version, c.Created, c.Updated = 1, session.Moment(c.Created), session.Moment(c.Updated)
	put(r.s, r.s.rolls.people, at, &c)
	return nil
}

// Person gives somebody.
func (r rosters) Person(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (*roster.Person, error) {
	leave, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	p := r.s.rolls.people[owner{in.Org(), user}]
	if p == nil {
		return nil, roster.NoPerson()
	}
	return r.person(p), nil
}

// People gives some of those whom the filter chooses.
func (r rosters) People(ctx context.Context, in tenancy.Realm, f roster.Filter, skip, most int) ([]*roster.Person, int, error) {
	leave, err := r.enter(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	var all []*roster.Person
	for who, p := range r.s.rolls.people {
		if p := r.person(p); who.org == in.Org() && f.Chooses(p) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *roster.Person) int { return bytes.Compare(a.User[:], b.User[:]) })
	return window(all, skip, most), len(all), nil
}

// window gives some of a list.
func window[T any](all []T, skip, most int) []T {
	skip = min(skip, len(all))
	return all[skip : skip+min(most, len(all)-skip)]
}

// UpdatePerson changes somebody.
func (r rosters) UpdatePerson(ctx context.Context, in tenancy.Realm, user tenancy.UserID, change func(*roster.Person) error) error {
	leave, err := r.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	at := owner{in.Org(), user}
	old := r.s.rolls.people[at]
	if old == nil {
		return roster.NoPerson()
	}
	p := r.person(old)
	if err := change(p); err != nil {
		return err
	}
	c := *p
	c.Org, c.User, c.Created, c.Version, c.Updated = old.Org, old.User, old.Created, old.Version+1, session.Moment(c.Updated)
	if r.taken(&c) {
		return roster.Taken("userName")
	}
	put(r.s, r.s.rolls.people, at, &c)
	return nil
}

// named tells whether another group has the name.
func (r rosters) named(g *roster.Group) bool {
	for id, other := range r.s.rolls.groups {
		if other.Org == g.Org && id != g.ID && roster.Fold(other.Name) == roster.Fold(g.Name) {
			return true
		}
	}
	return false
}

// group is a group of the organisation; nil: it is not there.
func (r rosters) group(in tenancy.Realm, id roster.GroupID) *roster.Group {
	if g := r.s.rolls.groups[id]; g != nil && g.Org == in.Org() {
		return g
	}
	return nil
}

// AddGroup stores a group.
func (r rosters) AddGroup(ctx context.Context, in tenancy.Realm, g *roster.Group) error {
	leave, err := r.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	switch {
	case g.Org != in.Org():
		return forbidden()
	case r.s.register.orgs[g.Org] == nil:
		return fault.Internalf("a group of what is not there")
	case r.named(g) || r.s.rolls.groups[g.ID] != nil:
		return roster.Taken("displayName")
	}
	c := *g
	c.Version, c.Created, c.Updated = 1, session.Moment(c.Created), session.Moment(c.Updated)
	put(r.s, r.s.rolls.groups, g.ID, &c)
	return nil
}

// Group gives a group.
func (r rosters) Group(ctx context.Context, in tenancy.Realm, id roster.GroupID) (*roster.Group, error) {
	leave, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	g := r.group(in, id)
	if g == nil {
		return nil, roster.NoGroup()
	}
	return copied(g), nil
}

// Groups gives some of those that the filter chooses.
func (r rosters) Groups(ctx context.Context, in tenancy.Realm, f roster.GroupFilter, skip, most int) ([]*roster.Group, int, error) {
	leave, err := r.enter(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer leave()
	var all []*roster.Group
	for id, g := range r.s.rolls.groups {
		if g.Org == in.Org() && (f.ID == nil || *f.ID == id) && (f.Name == nil || roster.Fold(*f.Name) == roster.Fold(g.Name)) &&
			(f.External == nil || *f.External == g.External) && (f.Member == nil || r.s.rolls.lists[enlisted{id, owner{g.Org, *f.Member}}] != nil) {
			all = append(all, copied(g))
		}
	}
	slices.SortFunc(all, func(a, b *roster.Group) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return window(all, skip, most), len(all), nil
}

// UpdateGroup changes a group.
func (r rosters) UpdateGroup(ctx context.Context, in tenancy.Realm, id roster.GroupID, change func(*roster.Group) error) error {
	leave, err := r.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	old := r.group(in, id)
	if old == nil {
		return roster.NoGroup()
	}
	g := copied(old)
	if err := change(g); err != nil {
		return err
	}
	g = copied(g) // the caller may have kept what it changed
	g.Org, g.ID, g.Created, g.Version, g.Updated = old.Org, old.ID, old.Created, old.Version+1, session.Moment(g.Updated)
	if r.named(g) {
		return roster.Taken("displayName")
	}
	put(r.s, r.s.rolls.groups, id, g)
	return nil
}

// RemoveGroup removes a group.
func (r rosters) RemoveGroup(ctx context.Context, in tenancy.Realm, id roster.GroupID) error {
	leave, err := r.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	if r.group(in, id) == nil {
		return roster.NoGroup()
	}
	for e := range maps.Clone(r.s.rolls.lists) {
		if e.group == id {
			put(r.s, r.s.rolls.lists, e, nil)
		}
	}
	put(r.s, r.s.rolls.groups, id, nil)
	return nil
}

// Enlist puts people into a group and takes others out.
func (r rosters) Enlist(ctx context.Context, in tenancy.Realm, id roster.GroupID, add, remove []tenancy.UserID) error {
	leave, err := r.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	if r.group(in, id) == nil {
		return roster.NoGroup()
	}
	for _, u := range add {
		if r.s.rolls.people[owner{in.Org(), u}] == nil {
			return roster.NoPerson()
		}
	}
	for _, u := range remove {
		put(r.s, r.s.rolls.lists, enlisted{id, owner{in.Org(), u}}, nil)
	}
	for _, u := range add {
		put(r.s, r.s.rolls.lists, enlisted{id, owner{in.Org(), u}}, &struct{}{})
	}
	return nil
}

// Enlisted gives who is in a group.
func (r rosters) Enlisted(ctx context.Context, in tenancy.Realm, id roster.GroupID) (out []tenancy.UserID, err error) {
	leave, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for e := range r.s.rolls.lists {
		if e.group == id && e.who.org == in.Org() {
			out = append(out, e.who.user)
		}
	}
	slices.SortFunc(out, func(a, b tenancy.UserID) int { return bytes.Compare(a[:], b[:]) })
	return out, nil
}

// Belongs gives the groups that somebody is in.
func (r rosters) Belongs(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (out []*roster.Group, err error) {
	out, _, err = r.Groups(ctx, in, roster.GroupFilter{Member: &user}, 0, math.MaxInt)
	return out, err
}

// Owners gives the active owners.
func (r rosters) Owners(ctx context.Context, in tenancy.Realm) (out []tenancy.UserID, err error) {
	leave, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for who, m := range r.s.register.members {
		if who.org == in.Org() && m.Role == tenancy.OrgOwner && m.Status == tenancy.Active {
			out = append(out, who.user)
		}
	}
	slices.SortFunc(out, func(a, b tenancy.UserID) int { return bytes.Compare(a[:], b[:]) })
	return out, nil
}
