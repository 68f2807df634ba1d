package memory

import (
	"context"
	"slices"
	"time"

	"agentapi/domain/budget"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/price"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

// purse is what may be spent, what was, and what is set aside.
type purse struct {
	budgets map[budget.ID]*budget.Budget
	spent   map[spell]*price.Micro
	holds   map[budget.ReservationID]*hold
}

// spell is a period of a budget.
type spell struct {
	id    budget.ID
	since int64
}

// hold is a reservation, and whose it is.
type hold struct {
	who owner
	budget.Reservation
}

func newPurse() purse {
	return purse{make(map[budget.ID]*budget.Budget), make(map[spell]*price.Micro), make(map[budget.ReservationID]*hold)}
}

// charge has a record counted in the budgets that bound it.
func (s *Store) charge(who owner, r *usage.Record) {
	for _, b := range s.purse.budgets {
		if b.Org == who.org && b.Bounds(who.user, r.Key) {
			s.spend(b, r)
		}
	}
}

func (s *Store) spend(b *budget.Budget, r *usage.Record) {
	w := spell{b.ID, b.Period.Since(r.At).Unix()}
	sum := r.Cost
	if had := s.purse.spent[w]; had != nil {
		sum = sum.Plus(*had)
	}
	put(s, s.purse.spent, w, &sum)
}

// state is how a budget stands.
func (p *purse) state(b *budget.Budget, at time.Time) *budget.State {
	out := &budget.State{Budget: *b}
	if spent := p.spent[spell{b.ID, b.Period.Since(at).Unix()}]; spent != nil {
		out.Spent = *spent
	}
	for _, h := range p.holds {
		if h.who.org == b.Org && b.Bounds(h.who.user, h.Key) && h.Expires.After(session.Moment(at)) {
			out.Reserved = out.Reserved.Plus(h.Amount)
		}
	}
	return out
}

// remove takes a budget out, with what it has spent.
func (p *purse) remove(id budget.ID) {
	delete(p.budgets, id)
	for w := range p.spent {
		if w.id == id {
			delete(p.spent, w)
		}
	}
}

// unfund removes the budgets of a user and their keys, and what is set aside for them.
// It returns how many.
func (s *Store) unfund(who owner) (n int) {
	for id, b := range s.purse.budgets {
		k := s.register.keys[b.Key]
		if b.Org == who.org && (b.User == who.user || k != nil && k.User == who.user) {
			s.purse.remove(id)
			n++
		}
	}
	return n + drop(s.purse.holds, func(h *hold) bool { return h.who == who })
}

type budgets struct{ directory }

// Create stores a new budget.
func (d budgets) Create(ctx context.Context, in tenancy.Realm, b *budget.Budget) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	if b.Org != in.Org() {
		return forbidden()
	}
	for _, o := range d.s.purse.budgets {
		if o.ID == b.ID || o.Org == b.Org && o.User == b.User && o.Key == b.Key && o.Period == b.Period {
			return budget.Taken()
		}
	}
	c := *b
	c.Version, c.Created = 1, session.Moment(b.Created)
	c.Updated = c.Created
	put(d.s, d.s.purse.budgets, c.ID, &c)
	for booked := range d.s.usage.records() {
		if booked.who.org == c.Org && c.Bounds(booked.who.user, booked.record.Key) && !booked.record.At.Before(c.Period.Since(c.Created)) {
			d.s.spend(&c, &booked.record)
		}
	}
	return nil
}

// Budget returns a budget as it stands.
func (d budgets) Budget(ctx context.Context, in tenancy.Realm, id budget.ID, at time.Time) (*budget.State, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if b := d.s.purse.budgets[id]; b != nil && b.Org == in.Org() {
		return d.s.purse.state(b, at), nil
	}
	return nil, budget.Absent()
}

// List returns a page of the organisation's budgets.
func (d budgets) List(ctx context.Context, in tenancy.Realm, at time.Time, q page.Query) (page.Of[*budget.State], error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return page.Of[*budget.State]{}, err
	}
	defer leave()
	var all []*budget.State
	for _, b := range chosen(d.s.purse.budgets, func(b *budget.Budget) bool { return b.Org == in.Org() }) {
		all = append(all, d.s.purse.state(b, at))
	}
	return paged(all, func(s *budget.State) budget.ID { return s.ID }, budget.ParseID, q, copied)
}

// Bounding returns the budgets that bound what a user spends.
func (d budgets) Bounding(ctx context.Context, in tenancy.Scope, key tenancy.KeyID, at time.Time) (out []budget.State, err error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return d.bounding(in, key, at), nil
}

func (d budgets) bounding(in tenancy.Scope, key tenancy.KeyID, at time.Time) (out []budget.State) {
	for _, b := range d.s.purse.budgets {
		if b.Org == in.Org() && b.Bounds(in.User(), key) {
			out = append(out, *d.s.purse.state(b, at))
		}
	}
	slices.SortFunc(out, func(a, b budget.State) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return out
}

// Any tells whether the organisation has a budget.
func (d budgets) Any(ctx context.Context, in tenancy.Realm) (bool, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	for _, b := range d.s.purse.budgets {
		if b.Org == in.Org() {
			return true, nil
		}
	}
	return false, nil
}

// Update stores what change makes of a budget's limit.
func (d budgets) Update(ctx context.Context, in tenancy.Realm, id budget.ID, change func(*budget.Budget) error) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	old := d.s.purse.budgets[id]
	if old == nil || old.Org != in.Org() {
		return budget.Absent()
	}
	wish := *old
	if err := change(&wish); err != nil {
		return err
	}
	next := *old
	next.Limit, next.Updated, next.Version = wish.Limit, session.Moment(wish.Updated), old.Version+1
	put(d.s, d.s.purse.budgets, id, &next)
	return nil
}

// Delete removes the budget.
func (d budgets) Delete(ctx context.Context, in tenancy.Realm, id budget.ID) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	if b := d.s.purse.budgets[id]; b == nil || b.Org != in.Org() {
		return budget.Absent()
	}
	put(d.s, d.s.purse.budgets, id, nil)
	for w := range d.s.purse.spent {
		if w.id == id {
			put(d.s, d.s.purse.spent, w, nil)
		}
	}
	return nil
}

// Reserve sets money aside.
func (d budgets) Reserve(ctx context.Context, in tenancy.Scope, r budget.Reservation) error {
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if in.IsZero() {
		return forbidden()
	}
	for _, s := range d.bounding(in, r.Key, r.At) {
		if s.Left() < r.Amount {
			return budget.None()
		}
	}
	if d.s.purse.holds[r.ID] != nil {
		return fault.New(fault.Conflict, "There is one like this already.")
	}
	r.Expires = session.Moment(r.Expires)
	put(d.s, d.s.purse.holds, r.ID, &hold{owner{in.Org(), in.User()}, r})
	return nil
}

// Release gives back what was set aside.
func (d budgets) Release(ctx context.Context, in tenancy.Scope, id budget.ReservationID) error {
	leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if in.IsZero() {
		return forbidden()
	}
	if h := d.s.purse.holds[id]; h != nil && h.who.org == in.Org() {
		put(d.s, d.s.purse.holds, id, nil)
	}
	return nil
}

// Prune forgets reservations that have expired.
func (d budgets) Prune(ctx context.Context, before time.Time, most int) (n int, err error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	for id, h := range d.s.purse.holds {
		if n < most && !h.Expires.After(session.Moment(before)) {
			put(d.s, d.s.purse.holds, id, nil)
			n++
		}
	}
	return n, nil
}
