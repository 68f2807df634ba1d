package memory

import (
	"bytes"
	"context"
	"slices"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// register is who there is. What is stored is never changed, but replaced.
type register struct {
	orgs    map[tenancy.OrgID]*tenancy.Org
	users   map[tenancy.UserID]*tenancy.User
	members map[owner]*tenancy.Member
	keys    map[tenancy.KeyID]*tenancy.APIKey
	invited map[tenancy.InvitationID]*tenancy.Invitation
}

func newRegister() register {
	return register{
		make(map[tenancy.OrgID]*tenancy.Org), make(map[tenancy.UserID]*tenancy.User),
		make(map[owner]*tenancy.Member), make(map[tenancy.KeyID]*tenancy.APIKey), make(map[tenancy.InvitationID]*tenancy.Invitation),
	}
}

// expel removes a membership, with its keys, and the user, unless another
// organisation has them as a member. It returns how many of these two went.
func (r *register) expel(who owner) (n int) {
	for id, k := range r.keys {
		if k.Org == who.org && k.User == who.user {
			delete(r.keys, id)
		}
	}
	if r.members[who] != nil {
		delete(r.members, who)
		n++
	}
	for m := range r.members {
		if m.user == who.user {
			return n
		}
	}
	if r.users[who.user] != nil {
		delete(r.users, who.user)
		n++
	}
	return n
}

type directory struct {
	s *Store
	locker
}

// put stores v, or removes what is there where v is nil, until the transaction fails.
func put[K comparable, V any](s *Store, m map[K]*V, key K, v *V) {
	old, was := m[key]
	if v == nil {
		delete(m, key)
	} else {
		m[key] = v
	}
	s.onUndo(func() {
		if was {
			m[key] = old
		} else {
			delete(m, key)
		}
	})
}

// copied gives a copy of v, if it is any.
func copied[V any](v *V) *V {
	if v == nil {
		return nil
	}
	c := *v
	return &c
}

func copyOfKey(k *tenancy.APIKey) *tenancy.APIKey {
	c := *k
	c.Models, c.Networks = slices.Clone(k.Models), slices.Clone(k.Networks)
	return &c
}

// Standing returns what is known of a user in an organisation.
func (d directory) Standing(ctx context.Context, org tenancy.OrgID, user tenancy.UserID) (s tenancy.Standing, err error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return s, err
	}
	defer leave()
	r := &d.s.register
	return tenancy.Standing{Org: copied(r.orgs[org]), User: copied(r.users[user]), Member: copied(r.members[owner{org, user}])}, nil
}

// Allowances returns which limits were given.
func (d directory) Allowances(ctx context.Context, in tenancy.Scope, key tenancy.KeyID) (a tenancy.Allowances, err error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return a, err
	}
	defer leave()
	r := &d.s.register
	if o := r.orgs[in.Org()]; o != nil {
		a.Org = o.Limits
	}
	if m := r.members[owner{in.Org(), in.User()}]; m != nil {
		a.User = m.Limits
	}
	if k := r.keys[key]; k != nil && k.Org == in.Org() {
		a.Key = k.Limits
	}
	return a, nil
}

// Enrol stores what is not there yet.
func (d directory) Enrol(ctx context.Context, s tenancy.Standing) error {
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r := &d.s.register
	if o := s.Org; o != nil && r.orgs[o.ID] == nil {
		c := *o
		c.Created, c.Updated = session.Moment(c.Created), session.Moment(c.Updated)
		put(d.s, r.orgs, o.ID, &c)
	}
	if u := s.User; u != nil && r.users[u.ID] == nil {
		c := *u
		c.Created, c.Updated = session.Moment(c.Created), session.Moment(c.Updated)
		put(d.s, r.users, u.ID, &c)
	}
	if m := s.Member; m != nil && r.members[owner{m.Org, m.User}] == nil {
		if r.orgs[m.Org] == nil || r.users[m.User] == nil {
			return fault.Internalf("a member of what is not there")
		}
		c := *m
		c.Created, c.Updated = session.Moment(c.Created), session.Moment(c.Updated)
		put(d.s, r.members, owner{m.Org, m.User}, &c)
	}
	return nil
}

// paged takes a page of what is kept, by id.
func paged[K id.Kind, V any](all []*V, idOf func(*V) id.ID[K], parse func(string) (id.ID[K], error), q page.Query, clone func(*V) *V) (page.Of[*V], error) {
	slices.SortFunc(all, func(a, b *V) int { x, y := idOf(a), idOf(b); return bytes.Compare(x[:], y[:]) })
	found, err := cut(all, q, func(*V) bool { return true }, func(cursor string) (int, bool) {
		at, err := parse(cursor)
		i, there := slices.BinarySearchFunc(all, at, func(v *V, want id.ID[K]) int { x := idOf(v); return bytes.Compare(x[:], want[:]) })
		if !there {
			i = -i - 1
		}
		return i, err == nil
	})
	for i, v := range found.Items {
		found.Items[i] = clone(v)
	}
	return found, err
}

// chosen gives what is kept that a filter chooses.
func chosen[K comparable, V any](from map[K]*V, chooses func(*V) bool) (all []*V) {
	for _, v := range from {
		if chooses(v) {
			all = append(all, v)
		}
	}
	return all
}

// Orgs returns a page of the organisations.
func (d directory) Orgs(ctx context.Context, f tenancy.OrgFilter, q page.Query) (page.Of[*tenancy.Org], error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return page.Of[*tenancy.Org]{}, err
	}
	defer leave()
	all := chosen(d.s.register.orgs, f.Chooses)
	return paged(all, func(o *tenancy.Org) tenancy.OrgID { return o.ID }, tenancy.ParseOrgID, q, copied)
}

// Org returns an organisation.
func (d directory) Org(ctx context.Context, id tenancy.OrgID) (*tenancy.Org, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if o := d.s.register.orgs[id]; o != nil {
		return copied(o), nil
	}
	return nil, tenancy.NoOrg()
}

// UpdateOrg stores what change makes of an organisation.
func (d directory) UpdateOrg(ctx context.Context, id tenancy.OrgID, change func(*tenancy.Org) error) error {
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	old := d.s.register.orgs[id]
	if old == nil {
		return tenancy.NoOrg()
	}
	o := *old
	if err := change(&o); err != nil {
		return err
	}
	o.ID, o.Issuer, o.Name, o.Created, o.Version, o.Updated = old.ID, old.Issuer, old.Name, old.Created, old.Version+1, session.Moment(o.Updated)
	put(d.s, d.s.register.orgs, id, copied(&o)) // the caller may have kept what it changed
	return nil
}

// Users returns a page of the users.
func (d directory) Users(ctx context.Context, f tenancy.UserFilter, q page.Query) (page.Of[*tenancy.User], error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return page.Of[*tenancy.User]{}, err
	}
	defer leave()
	all := chosen(d.s.register.users, f.Chooses)
	return paged(all, func(u *tenancy.User) tenancy.UserID { return u.ID }, tenancy.ParseUserID, q, copied)
}

// UpdateUser stores what change makes of a user.
func (d directory) UpdateUser(ctx context.Context, id tenancy.UserID, change func(u *tenancy.User, others int) error) error {
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	old := d.s.register.users[id]
	if old == nil {
		return tenancy.NoUser()
	}
	others := 0
	for other, u := range d.s.register.users {
		if other != id && u.Platform == tenancy.PlatformAdmin && u.Status == tenancy.Active {
			others++
		}
	}
	u := *old
	if err := change(&u, others); err != nil {
		return err
	}
	u.ID, u.Issuer, u.Subject, u.Created, u.Version, u.Updated = old.ID, old.Issuer, old.Subject, old.Created, old.Version+1, session.Moment(u.Updated)
	put(d.s, d.s.register.users, id, copied(&u)) // the caller may have kept what it changed
	return nil
}

// Members returns a page of those who belong to the organisation.
func (d directory) Members(ctx context.Context, in tenancy.Realm, f tenancy.MemberFilter, q page.Query) (page.Of[*tenancy.Member], error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return page.Of[*tenancy.Member]{}, err
	}
	defer leave()
	all := chosen(d.s.register.members, func(m *tenancy.Member) bool { return m.Org == in.Org() && f.Chooses(m) })
	return paged(all, func(m *tenancy.Member) tenancy.UserID { return m.User }, tenancy.ParseUserID, q, copied)
}

// Member returns one who belongs to the organisation.
func (d directory) Member(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (*tenancy.Member, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if m := d.s.register.members[owner{in.Org(), user}]; m != nil {
		return copied(m), nil
	}
	return nil, tenancy.NoMember()
}

// UpdateMember stores what change makes of a member.
func (d directory) UpdateMember(ctx context.Context, in tenancy.Realm, user tenancy.UserID, change func(*tenancy.Member) error) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	at := owner{in.Org(), user}
	old := d.s.register.members[at]
	if old == nil {
		return tenancy.NoMember()
	}
	m := *old
	if err := change(&m); err != nil {
		return err
	}
	m.Org, m.User, m.Created, m.Version, m.Updated = old.Org, old.User, old.Created, old.Version+1, session.Moment(m.Updated)
	put(d.s, d.s.register.members, at, copied(&m)) // the caller may have kept what it changed
	return nil
}

// managing enters for a write to an organisation.
func (d directory) managing(ctx context.Context, in tenancy.Realm) (func(), error) {
	leave, err := d.enter(ctx)
	if err == nil && in.IsZero() {
		leave()
		return nil, forbidden()
	}
	return leave, err
}

// RemoveMember takes a user out of the organisation.
func (d directory) RemoveMember(ctx context.Context, in tenancy.Realm, user tenancy.UserID) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	at := owner{in.Org(), user}
	if d.s.register.members[at] == nil {
		return tenancy.NoMember()
	}
	for id, k := range d.s.register.keys {
		if k.Org == in.Org() && k.User == user {
			put(d.s, d.s.register.keys, id, nil)
		}
	}
	d.s.strike(at)
	put(d.s, d.s.register.members, at, nil)
	return nil
}

// CreateKey stores a new key.
func (d directory) CreateKey(ctx context.Context, in tenancy.Realm, k *tenancy.APIKey) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	switch {
	case k.Org != in.Org():
		return forbidden()
	case d.s.register.members[owner{k.Org, k.User}] == nil:
		return tenancy.NoMember()
	case d.s.register.keys[k.ID] != nil:
		return fault.New(fault.Conflict, "There is a key with this id already.")
	}
	put(d.s, d.s.register.keys, k.ID, stored(k, 1))
	return nil
}

// stored is a key as a database would give it back.
func stored(k *tenancy.APIKey, version int) *tenancy.APIKey {
	c := copyOfKey(k)
	c.Version = version
	if len(c.Models) == 0 {
		c.Models = nil
	}
	if len(c.Networks) == 0 {
		c.Networks = nil
	}
	for _, t := range []*time.Time{&c.Created, &c.Updated, &c.Expires, &c.LastUsed, &c.Revoked} {
		if !t.IsZero() {
			*t = session.Moment(*t)
		}
	}
	return c
}

// FindKey returns a key of whatever organisation.
func (d directory) FindKey(ctx context.Context, id tenancy.KeyID) (*tenancy.APIKey, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if k := d.s.register.keys[id]; k != nil {
		return copyOfKey(k), nil
	}
	return nil, tenancy.NoKey()
}

// Keys returns a page of the organisation's keys.
func (d directory) Keys(ctx context.Context, in tenancy.Realm, f tenancy.KeyFilter, q page.Query) (page.Of[*tenancy.APIKey], error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return page.Of[*tenancy.APIKey]{}, err
	}
	defer leave()
	all := chosen(d.s.register.keys, func(k *tenancy.APIKey) bool { return k.Org == in.Org() && f.Chooses(k) })
	return paged(all, func(k *tenancy.APIKey) tenancy.KeyID { return k.ID }, tenancy.ParseKeyID, q, copyOfKey)
}

// Key returns a key of the organisation.
func (d directory) Key(ctx context.Context, in tenancy.Realm, id tenancy.KeyID) (*tenancy.APIKey, error) {
	k, err := d.FindKey(ctx, id)
	if err == nil && k.Org != in.Org() {
		return nil, tenancy.NoKey()
	}
	return k, err
}

// TouchKey notes that a key was used.
func (d directory) TouchKey(ctx context.Context, in tenancy.Realm, id tenancy.KeyID, at time.Time) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	if old := d.s.register.keys[id]; old != nil && old.Org == in.Org() {
		k := copyOfKey(old)
		k.LastUsed = session.Moment(at)
		put(d.s, d.s.register.keys, id, k)
	}
	return nil
}

// UpdateKey stores what change makes of a key.
func (d directory) UpdateKey(ctx context.Context, in tenancy.Realm, id tenancy.KeyID, change func(*tenancy.APIKey) error) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	old := d.s.register.keys[id]
	if old == nil || old.Org != in.Org() {
		return tenancy.NoKey()
	}
	k := copyOfKey(old)
	if err := change(k); err != nil {
		return err
	}
	k = stored(k, old.Version+1)
	k.ID, k.Org, k.User, k.Created = old.ID, old.Org, old.User, old.Created
	put(d.s, d.s.register.keys, id, k)
	return nil
}
