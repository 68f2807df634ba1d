package postgres

import (
	"context"
	"testing"
	"time"

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/budget"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	server "agentapi/test/postgres"
)

// A booking that is under way on another server holds no administrator up, and counts
// once when it ends.
func TestABudgetIsMadeWhileUsageIsBooked(t *testing.T) {
	t.Parallel()
	o := migrated(t, server.Shared(t).Fresh(t))
	one, other := start(t, o), start(t, o)
	var n byte
	entropy := func() [10]byte { n++; return [10]byte{n} }
	in := scope("acme", "ann")
	realm := tenancy.RealmOf(in.Org())
	at := time.Now()
	fund := func(p budget.Period) *budget.Budget {
		return &budget.Budget{ID: budget.NewID(at, entropy()), Org: in.Org(), Period: p, Limit: 1000, Version: 1, Created: at, Updated: at}
	}
	paid := func() usage.Record {
		return usage.Record{ID: usage.NewID(at, entropy()), Request: "req_1", Agent: "a", Model: "m", Cost: 7, Outcome: usage.Completed, At: at}
	}
	first, second := fund(budget.Total), fund(budget.Month)
	if err := one.Budgets().Create(t.Context(), realm, first); err != nil {
		t.Fatal(err)
	}
	if err := one.Usage().Record(t.Context(), in, paid()); err != nil {
		t.Fatal(err)
	}
	booked, end, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- other.Bulk(t.Context(), func(ctx context.Context, r *bunstore.Repositories) error {
			if err := r.Usage().Record(ctx, in, paid()); err != nil {
				return err
			}
			if _, err := r.Budgets().Any(ctx, realm); err != nil { // which sends it
				return err
			}
			close(booked)
			<-end
			return nil
		})
	}()
	<-booked
	if err := one.Budgets().Create(t.Context(), realm, second); err != nil {
		close(end)
		t.Fatalf("while usage is booked: %v, %v", err, <-ended)
	}
	check := func(want int64) {
		t.Helper()
		for _, b := range []*budget.Budget{first, second} {
			s, err := one.Budgets().Budget(t.Context(), realm, b.ID, at)
			if err != nil {
				t.Fatal(err)
			}
			if int64(s.Spent) != want {
				t.Errorf("the budget for a %s has spent %d, not %d", b.Period, s.Spent, want)
			}
		}
	}
	check(7)
	close(end)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	check(14)
	third := fund(budget.Day)
	if err := one.Budgets().Create(t.Context(), realm, third); err != nil {
		t.Fatal(err)
	}
	check(14)
}
