package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/budget"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
	"agentapi/test/kit"
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

// Reservations that go together are made where there is room for all of them, and else
// none is; those of another day count, too, while they last.
func TestReservationsThatGoTogetherDrawNoBudgetOver(t *testing.T) {
	t.Parallel()
	s := start(t, migrated(t, server.Shared(t).Fresh(t)))
	in, midnight := scope("acme", "ann"), time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	realm := tenancy.RealmOf(in.Org())
	b := &budget.Budget{ID: budget.NewID(midnight, [10]byte{1}), Org: in.Org(), Period: budget.Day, Limit: 10, Version: 1, Created: midnight, Updated: midnight}
	if err := s.Budgets().Create(t.Context(), realm, b); err != nil {
		t.Fatal(err)
	}
	var n byte
	row := func(amount int, at time.Time) string {
		n++
		return fmt.Sprintf("('%s', '%s', NULL, %d, '%s', '%s')", budget.NewReservationID(at, [10]byte{n}).UUID(), in.User().UUID(), amount,
			midnight.Add(time.Minute).Format(time.RFC3339), at.Format(time.RFC3339))
	}
	for _, c := range []struct {
		amounts [2]int
		room    bool
		held    int64
	}{{[2]int{5, 6}, false, 0}, {[2]int{4, 5}, true, 9}, {[2]int{0, 2}, false, 9}, {[2]int{1, 0}, true, 10}} {
		w := s.writes.wire(nil)
		for _, text := range []string{
			"BEGIN", s.settings, naming + in.Org().UUID() + "'",
			bunstore.Reserves + "'" + in.Org().UUID() + "', ARRAY[" + row(c.amounts[0], midnight.Add(-time.Second)) + ", " + row(c.amounts[1], midnight) + "]::budget_reservation[])", commit,
		} {
			w.add(text)
		}
		err := w.flush(t.Context())
		w.release()
		if c.room && err != nil || !c.room && (err == nil || kind(err) != fault.QuotaExhausted) {
			t.Errorf("%v: %v", c.amounts, err)
		}
		state, err := s.Budgets().Budget(t.Context(), realm, b.ID, midnight)
		if err != nil || int64(state.Reserved) != c.held {
			t.Errorf("%v: %+v is set aside, not %d; %v", c.amounts, state, c.held, err)
		}
	}
}

// What requests reserve, use and give back leaves rows behind until they are vacuumed. The
// next ones do not read them all again.
func TestWhatWasGivenBackIsNotReadAgain(t *testing.T) {
	d := server.Shared(t).Fresh(t)
	s := start(t, migrated(t, d))
	d.Server.Admin(t, d.Name, "ALTER TABLE agentapi.budget_holds SET (autovacuum_enabled = off)", "ALTER TABLE agentapi.budget_charges SET (autovacuum_enabled = off)")
	in, at := scope("acme", "ann"), time.Now()
	if err := s.Budgets().Create(t.Context(), tenancy.RealmOf(in.Org()), &budget.Budget{
		ID: budget.NewID(at, [10]byte{1}), Org: in.Org(), Period: budget.Day, Limit: 1_000_000_000, Version: 1, Created: at, Updated: at,
	}); err != nil {
		t.Fatal(err)
	}
	const requests, most = 1000, 60 // rows read by an index for each, in the statements of both of its transactions
	for n := range uint16(requests) {
		seed := [10]byte{byte(n >> 8), byte(n)}
		hold := budget.Reservation{ID: budget.NewReservationID(at, seed), Amount: 1, At: at, Expires: at.Add(time.Hour)}
		if err := s.Budgets().Reserve(t.Context(), in, hold); err != nil {
			t.Fatal(err)
		}
		if err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
			return errors.Join(tx.Budgets().Release(ctx, in, hold.ID), tx.Usage().Record(ctx, in, usage.Record{ID: usage.NewID(at, seed), Cost: 1, At: at}))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Stop(t.Context()); err != nil { // its connections tell what they did when they end
		t.Fatal(err)
	}
	look, read := d.Server.Look(t, d.Name), 0
	if !kit.Soon(10*time.Second, func() bool {
		err := look.QueryRow("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE indexrelname IN ('budget_holds_pkey', 'budget_charges_pkey')").Scan(&read)
		return err == nil && read >= requests // each gave its own back
	}) || read > most*requests {
		t.Errorf("%d rows were read for %d requests", read, requests)
	}
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
