package postgres

import (
	"context"
	"fmt"
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

// BenchmarkABudgetIsMade compares the making of a budget in an organisation of a hundred
// thousand records with adding them up once.
func BenchmarkABudgetIsMade(b *testing.B) {
	d := server.Shared(b).Fresh(b)
	o := migrated(b, d)
	start(b, o)
	const org = "md5('org')::uuid"
	d.Server.Admin(b, d.Name, fmt.Sprintf(`INSERT INTO agentapi.usage (org_id, id, user_id, request, session_id, agent, model, prompt_tokens, completion_tokens, details, outcome, cost_micro)
		SELECT %s, (left(agentapi.usage_bound(now())::text, 14) || right(md5('usage' || n)::uuid::text, 22))::uuid, md5('user')::uuid, 'r', md5('s')::uuid, 'a', 'm', 1, 2, '{}', 'completed', 5 FROM generate_series(1, 100000) n`, org), "ANALYZE agentapi.usage")
	fastest := func(statement string) time.Duration {
		least := time.Hour
		for n, period := range []string{"day", "month", "total"} {
			begun := time.Now()
			d.Server.Admin(b, d.Name, fmt.Sprintf("/* %[1]d %[2]s */"+statement, n, period))
			least = min(least, time.Since(begun))
		}
		return least
	}
	var sum, made time.Duration
	for b.Loop() {
		d.Server.Admin(b, d.Name, "DELETE FROM agentapi.budget_windows", "DELETE FROM agentapi.budgets")
		sum = fastest("SELECT sum(cost_micro) FROM agentapi.usage WHERE org_id = " + org)
		made = fastest("SELECT agentapi.open_budget(" + org + ", md5('%[1]d')::uuid, NULL, NULL, '%[2]s', 1000, now())")
	}
	b.ReportMetric(float64(made)/float64(sum), "×sum")
}
