package porttest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/budget"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/price"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

func newBudget(in tenancy.Realm, p budget.Period, limit price.Micro) *budget.Budget {
	return &budget.Budget{ID: budget.NewID(start, entropy()), Org: in.Org(), Period: p, Limit: limit, Version: 1, Created: start, Updated: start}
}

// paid is a record of what has cost something.
func paid(at time.Time, key tenancy.KeyID, cost price.Micro) usage.Record {
	return usage.Record{ID: usage.NewID(at, entropy()), Request: "req_1", Agent: "a", Model: "m", Key: key, Cost: cost, Outcome: usage.Completed, At: at}
}

func reservation(key tenancy.KeyID, amount price.Micro, at time.Time) budget.Reservation {
	return budget.Reservation{ID: budget.NewReservationID(at, entropy()), Key: key, Amount: amount, At: at, Expires: at.Add(time.Minute)}
}

// stands checks how a budget stands.
func stands(t *testing.T, s ports.Storage, in tenancy.Realm, id budget.ID, at time.Time, spent, reserved price.Micro) {
	t.Helper()
	got, err := s.Budgets().Budget(t.Context(), in, id, at)
	must(t, err)
	if got.Spent != spent || got.Reserved != reserved {
		t.Errorf("the budget has spent %d and reserved %d, not %d and %d", got.Spent, got.Reserved, spent, reserved)
	}
}

func budgetsAreKept(t *testing.T, s ports.Storage) {
	acme, evil := employer(t, s, "acme"), employer(t, s, "evil")
	ann, key := named[tenancy.UserID]("ann"), named[tenancy.KeyID]("key")
	if any, err := s.Budgets().Any(t.Context(), acme); err != nil || any {
		t.Fatalf("there is a budget: %v, %v", any, err)
	}
	whole, anns, keys := newBudget(acme, budget.Month, 1000), newBudget(acme, budget.Month, 100), newBudget(acme, budget.Day, 10)
	anns.User, keys.Key = ann, key
	for _, b := range []*budget.Budget{whole, anns, keys} {
		must(t, s.Budgets().Create(t.Context(), acme, b))
		again := *b
		again.ID = budget.NewID(start, entropy())
		is(t, s.Budgets().Create(t.Context(), acme, &again), fault.Conflict, "budget_exists")
	}
	is(t, s.Budgets().Create(t.Context(), evil, newBudget(acme, budget.Day, 1)), fault.Forbidden, "")
	is(t, s.Budgets().Create(t.Context(), tenancy.Realm{}, newBudget(acme, budget.Day, 1)), fault.Forbidden, "")
	if any, err := s.Budgets().Any(t.Context(), acme); err != nil || !any {
		t.Errorf("there is no budget: %v, %v", any, err)
	}
	want := *anns
	want.Created, want.Updated = session.Moment(start), session.Moment(start)
	got, err := s.Budgets().Budget(t.Context(), acme, anns.ID, start)
	must(t, err)
	same(t, got, &budget.State{Budget: want})
	list, err := s.Budgets().List(t.Context(), acme, start, page.Query{Limit: 2})
	must(t, err)
	if len(list.Items) != 2 || !list.More || list.Items[0].ID != whole.ID {
		t.Errorf("the list is %+v", list)
	}
	list, err = s.Budgets().List(t.Context(), acme, start, page.Query{Limit: 2, After: anns.ID.String()})
	must(t, err)
	if len(list.Items) != 1 || list.More || list.Items[0].Key != key {
		t.Errorf("its end is %+v", list)
	}
	for name, c := range map[string]struct {
		in   tenancy.Scope
		key  tenancy.KeyID
		want []budget.ID
	}{
		"ann":                {acme.Of(ann), tenancy.KeyID{}, []budget.ID{whole.ID, anns.ID}},
		"ann with a key":     {acme.Of(ann), key, []budget.ID{whole.ID, anns.ID, keys.ID}},
		"bob":                {acme.Of(named[tenancy.UserID]("bob")), tenancy.KeyID{}, []budget.ID{whole.ID}},
		"ann at another org": {evil.Of(ann), key, nil},
		"nobody":             {tenancy.Scope{}, key, nil},
	} {
		states, err := s.Budgets().Bounding(t.Context(), c.in, c.key, start)
		must(t, err)
		var ids []budget.ID
		for _, v := range states {
			ids = append(ids, v.ID)
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s is bound by %v, not %v", name, ids, c.want)
		}
	}
	must(t, s.Budgets().Update(t.Context(), acme, anns.ID, func(b *budget.Budget) error {
		b.Limit, b.Updated, b.Period, b.User = 7, start.Add(time.Hour), budget.Day, tenancy.UserID{}
		return nil
	}))
	want.Limit, want.Updated, want.Version = 7, session.Moment(start.Add(time.Hour)), 2
	got, err = s.Budgets().Budget(t.Context(), acme, anns.ID, start)
	must(t, err)
	same(t, got, &budget.State{Budget: want})
	for name, in := range map[string]tenancy.Realm{"another organisation": evil, "nobody": {}} {
		if _, err := s.Budgets().Budget(t.Context(), in, anns.ID, start); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s gets %v", name, err)
		}
		if list, err := s.Budgets().List(t.Context(), in, start, page.Query{Limit: 5}); err != nil || len(list.Items) > 0 {
			t.Errorf("%s lists %v, %v", name, list, err)
		}
		if err := s.Budgets().Update(t.Context(), in, anns.ID, func(*budget.Budget) error { return nil }); !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Forbidden) {
			t.Errorf("%s changes it: %v", name, err)
		}
		if err := s.Budgets().Delete(t.Context(), in, anns.ID); !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Forbidden) {
			t.Errorf("%s deletes it: %v", name, err)
		}
	}
	must(t, s.Budgets().Delete(t.Context(), acme, anns.ID))
	is(t, s.Budgets().Delete(t.Context(), acme, anns.ID), fault.NotFound, "budget_not_found")
	must(t, s.Budgets().Create(t.Context(), acme, &want)) // whose place is free again
}

func budgetsCountUsage(t *testing.T, s ports.Storage) {
	acme := employer(t, s, "acme")
	ann, bob, key := acme.Of(named[tenancy.UserID]("ann")), acme.Of(named[tenancy.UserID]("bob")), named[tenancy.KeyID]("key")
	day := 24 * time.Hour
	// start is 2026-01-02 in UTC.
	must(t, s.Usage().Record(t.Context(), ann, paid(start, key, 5), paid(start.Add(-day), key, 70), paid(start.Add(-2*day), key, 900), paid(start, key, 0)))
	must(t, s.Usage().Record(t.Context(), bob, paid(start, tenancy.KeyID{}, 2)))
	must(t, s.Usage().Record(t.Context(), employer(t, s, "evil").Of(ann.User()), paid(start, key, 5000)))
	daily, monthly, total := newBudget(acme, budget.Day, 10), newBudget(acme, budget.Month, 10), newBudget(acme, budget.Total, 10)
	anns, keys := newBudget(acme, budget.Total, 10), newBudget(acme, budget.Month, 10)
	anns.User, keys.Key = ann.User(), key
	for _, b := range []*budget.Budget{daily, monthly, total, anns, keys} {
		must(t, s.Budgets().Create(t.Context(), acme, b))
	}
	check := func(want [5]price.Micro, at time.Time) {
		t.Helper()
		for i, b := range []*budget.Budget{daily, monthly, total, anns, keys} {
			stands(t, s, acme, b.ID, at, want[i], 0)
		}
	}
	check([5]price.Micro{7, 77, 977, 975, 75}, start) // what was booked before it was made
	twice := paid(start.Add(time.Minute), tenancy.KeyID{}, 10)
	must(t, s.Usage().Record(t.Context(), ann, twice, paid(start, key, 100)))
	must(t, s.Usage().Record(t.Context(), ann, twice))
	check([5]price.Micro{117, 187, 1087, 1085, 175}, start)
	late := paid(start.Add(-day), key, 1000) // booked late, it is of the period of its time
	must(t, s.Usage().Record(t.Context(), bob, late))
	check([5]price.Micro{117, 1187, 2087, 1085, 1175}, start)
	check([5]price.Micro{0, 1187, 2087, 1085, 1175}, start.Add(day))
	check([5]price.Micro{0, 0, 2087, 1085, 0}, start.Add(31*day))
	failed := fault.New(fault.Conflict, "no")
	if err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Usage().Record(ctx, ann, paid(start, key, 1)); err != nil {
			return err
		}
		return failed
	}); err == nil {
		t.Fatal("a transaction that fails is kept")
	}
	check([5]price.Micro{117, 1187, 2087, 1085, 1175}, start)
	for range 50 { // more than are counted one by one
		must(t, s.Usage().Record(t.Context(), bob, paid(start, key, 1)))
		_ = s.Budgets().Reserve(t.Context(), bob, reservation(key, 1, start))
	}
	check([5]price.Micro{167, 1237, 2137, 1085, 1225}, start)
	// Those that are booked at once are of the periods of their own times.
	must(t, s.Usage().Record(t.Context(), ann, paid(start, key, 1), paid(start.Add(-day), key, 10), paid(start.Add(-2*day), key, 100),
		paid(start, tenancy.KeyID{}, 2), paid(start.Add(time.Minute), key, 4)))
	check([5]price.Micro{174, 1254, 2254, 1202, 1240}, start)
}

func budgetsReserve(t *testing.T, s ports.Storage) {
	acme, evil := employer(t, s, "acme"), employer(t, s, "evil")
	ann, key := acme.Of(named[tenancy.UserID]("ann")), named[tenancy.KeyID]("key")
	whole, keys := newBudget(acme, budget.Day, 100), newBudget(acme, budget.Day, 50)
	keys.Key = key
	must(t, s.Budgets().Create(t.Context(), acme, whole))
	must(t, s.Budgets().Create(t.Context(), acme, keys))
	first := reservation(key, 40, start)
	must(t, s.Budgets().Reserve(t.Context(), ann, first))
	is(t, s.Budgets().Reserve(t.Context(), ann, reservation(key, 11, start)), fault.QuotaExhausted, "insufficient_quota")
	must(t, s.Budgets().Reserve(t.Context(), ann, reservation(key, 10, start)))
	must(t, s.Budgets().Reserve(t.Context(), ann, reservation(tenancy.KeyID{}, 50, start)))
	is(t, s.Budgets().Reserve(t.Context(), ann, reservation(tenancy.KeyID{}, 1, start)), fault.QuotaExhausted, "insufficient_quota")
	must(t, s.Budgets().Reserve(t.Context(), ann, reservation(tenancy.KeyID{}, 0, start)))
	must(t, s.Budgets().Reserve(t.Context(), evil.Of(ann.User()), reservation(key, 1000, start)))
	is(t, s.Budgets().Reserve(t.Context(), tenancy.Scope{}, reservation(key, 1, start)), fault.Forbidden, "")
	stands(t, s, acme, whole.ID, start, 0, 100)
	stands(t, s, acme, keys.ID, start, 0, 50)
	must(t, s.Budgets().Release(t.Context(), evil.Of(ann.User()), first.ID)) // not theirs
	stands(t, s, acme, whole.ID, start, 0, 100)
	// It is settled on what was used, in one step.
	must(t, s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Budgets().Release(ctx, ann, first.ID); err != nil {
			return err
		}
		return tx.Usage().Record(ctx, ann, paid(start, key, 13))
	}))
	must(t, s.Budgets().Release(t.Context(), ann, first.ID))
	stands(t, s, acme, whole.ID, start, 13, 60)
	stands(t, s, acme, keys.ID, start, 13, 10)
	is(t, s.Budgets().Reserve(t.Context(), ann, reservation(key, 28, start)), fault.QuotaExhausted, "insufficient_quota")
	// What expires counts no more, and is forgotten then.
	later := start.Add(time.Minute)
	stands(t, s, acme, whole.ID, later, 13, 0)
	must(t, s.Budgets().Reserve(t.Context(), ann, reservation(key, 37, later)))
	n, err := s.Budgets().Prune(t.Context(), later, 3)
	must(t, err)
	more, err := s.Budgets().Prune(t.Context(), later, 100)
	must(t, err)
	if n != 3 || more != 1 {
		t.Errorf("%d and %d reservations are forgotten, not 3 and 1", n, more)
	}
	stands(t, s, acme, whole.ID, later, 13, 37)
	// A transaction that fails sets nothing aside.
	if err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Budgets().Reserve(ctx, ann, reservation(tenancy.KeyID{}, 10, later)); err != nil {
			return err
		}
		return fault.New(fault.Conflict, "no")
	}); !fault.Is(err, fault.Conflict) {
		t.Errorf("it fails with %v", err)
	}
	// One that is refused stores nothing of what else it did.
	record := paid(later, key, 3)
	is(t, s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Usage().Record(ctx, ann, record); err != nil {
			return err
		}
		return tx.Budgets().Reserve(ctx, ann, reservation(tenancy.KeyID{}, 1000, later))
	}), fault.QuotaExhausted, "insufficient_quota")
	stands(t, s, acme, whole.ID, later, 13, 37)
}

// budgetsHoldConcurrently: while money is reserved, used and given
// back by many, no budget is overdrawn and what each has spent is what usage has cost.
func budgetsHoldConcurrently(t *testing.T, s ports.Storage) {
	const (
		workers, rounds = 16, 12
		each            = 10
		room            = 55 // for some of those who want at one time
	)
	acme := employer(t, s, "acme")
	whole := newBudget(acme, budget.Total, workers*rounds*each)
	must(t, s.Budgets().Create(t.Context(), acme, whole))
	var (
		all  sync.WaitGroup
		made = make(map[tenancy.UserID]budget.ID)
	)
	tight := newBudget(acme, budget.Day, room)
	must(t, s.Budgets().Create(t.Context(), acme, tight))
	for n := range workers {
		ann := acme.Of(named[tenancy.UserID](string(rune('a' + n))))
		must(t, s.Usage().Record(t.Context(), ann, paid(start.Add(48*time.Hour), tenancy.KeyID{}, 4)))
		own := newBudget(acme, budget.Month, price.Most)
		own.User = ann.User()
		must(t, s.Budgets().Create(t.Context(), acme, own))
		made[ann.User()] = own.ID
	}
	for n := range workers {
		ann := acme.Of(named[tenancy.UserID](string(rune('a' + n))))
		all.Go(func() {
			for range rounds {
				r := reservation(tenancy.KeyID{}, each, start)
				err := s.Budgets().Reserve(t.Context(), ann, r)
				if fault.Is(err, fault.QuotaExhausted) {
					if err := s.Usage().Record(t.Context(), ann, paid(start.Add(48*time.Hour), tenancy.KeyID{}, 1)); err != nil {
						t.Error(err)
					}
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				err = s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
					if err := tx.Budgets().Release(ctx, ann, r.ID); err != nil {
						return err
					}
					return tx.Usage().Record(ctx, ann, paid(start.Add(48*time.Hour), tenancy.KeyID{}, 3))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	rows, err := s.Usage().Report(t.Context(), acme, usage.Query{Since: start.Add(-time.Hour).UTC(), Until: start.Add(72 * time.Hour).UTC(), Width: 24 * time.Hour, By: []usage.Dimension{usage.ByUser}})
	must(t, err)
	var sum price.Micro
	for _, r := range rows {
		sum = sum.Plus(r.Cost)
		stands(t, s, acme, made[r.User], start, r.Cost, 0)
	}
	stands(t, s, acme, whole.ID, start, sum, 0)
	// At one instant no more are admitted than there is room for.
	var admitted atomic.Int64
	for range 4 * workers {
		all.Go(func() {
			err := s.Budgets().Reserve(t.Context(), acme.Of(named[tenancy.UserID]("z")), reservation(tenancy.KeyID{}, each, start))
			if err == nil {
				admitted.Add(1)
			} else if !fault.Is(err, fault.QuotaExhausted) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := admitted.Load(); n != room/each {
		t.Errorf("%d are admitted where there is room for %d", n, room/each)
	}
}

// budgetsGoWithTheirOwn: of who is erased no budget is left, and what they spent is
// the organisation's still; of an organisation that is dissolved nothing is.
func budgetsGoWithTheirOwn(t *testing.T, s ports.Storage) {
	acme, evil := employer(t, s, "acme"), employer(t, s, "evil")
	ann := acme.Of(named[tenancy.UserID]("ann"))
	whole, anns, others := newBudget(acme, budget.Total, 100), newBudget(acme, budget.Total, 100), newBudget(evil, budget.Total, 100)
	anns.User = ann.User()
	must(t, s.Budgets().Create(t.Context(), acme, whole))
	must(t, s.Budgets().Create(t.Context(), acme, anns))
	must(t, s.Budgets().Create(t.Context(), evil, others))
	must(t, s.Usage().Record(t.Context(), ann, paid(start, tenancy.KeyID{}, 30)))
	must(t, s.Budgets().Reserve(t.Context(), ann, reservation(tenancy.KeyID{}, 5, start)))
	for n := 1; n > 0; {
		var err error
		n, err = s.Upkeep().Erase(t.Context(), ann, named[tenancy.UserID]("nobody"), 10)
		must(t, err)
	}
	if _, err := s.Budgets().Budget(t.Context(), acme, anns.ID, start); !fault.Is(err, fault.NotFound) {
		t.Errorf("the budget of who was erased: %v", err)
	}
	stands(t, s, acme, whole.ID, start, 30, 0)
	must(t, s.Budgets().Reserve(t.Context(), acme.Of(named[tenancy.UserID]("bob")), reservation(tenancy.KeyID{}, 70, start)))
	for n := 1; n > 0; {
		var err error
		n, err = s.Upkeep().Dissolve(t.Context(), acme, 10)
		must(t, err)
	}
	if any, err := s.Budgets().Any(t.Context(), acme); err != nil || any {
		t.Errorf("a budget of the organisation that was dissolved: %v, %v", any, err)
	}
	if n, err := s.Budgets().Prune(t.Context(), start.Add(time.Hour), 10); err != nil || n != 0 {
		t.Errorf("%d reservations are left of it, %v", n, err)
	}
	stands(t, s, evil, others.ID, start, 0, 0)
}
