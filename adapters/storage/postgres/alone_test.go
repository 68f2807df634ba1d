package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/budget"
	"agentapi/domain/fault"
	"agentapi/domain/price"
	"agentapi/domain/tenancy"
	"agentapi/ports"
	server "agentapi/test/postgres"
)

// crossing is two servers with budgets of 1,000 in some organisations, and how jobs set
// money aside in them.
type crossing struct {
	t          *testing.T
	d          *server.Database
	one, other *Store
	orgs       []tenancy.Scope // in the order of their ids
	look       *sql.DB
	at         time.Time
	n          byte
}

// slow is how much is set aside slowly.
const slow price.Micro = 7

func crosswise(t *testing.T) *crossing {
	d := server.Shared(t).Fresh(t)
	o := migrated(t, d)
	c := &crossing{t: t, d: d, one: start(t, o), other: start(t, o), look: d.Server.Look(t, d.Name), at: time.Now()}
	d.Server.Admin(t, d.Name, `CREATE FUNCTION agentapi.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$`,
		fmt.Sprintf(`CREATE TRIGGER dawdle BEFORE INSERT ON agentapi.budget_holds FOR EACH ROW WHEN (NEW.amount_micro = %d) EXECUTE FUNCTION agentapi.dawdle()`, slow))
	for n := range 6 {
		in := scope(fmt.Sprint(n), "ann")
		c.orgs = append(c.orgs, in)
		b := &budget.Budget{ID: budget.NewID(c.at, c.entropy()), Org: in.Org(), Period: budget.Total, Limit: 1000, Version: 1, Created: c.at, Updated: c.at}
		if err := c.one.Budgets().Create(t.Context(), tenancy.RealmOf(in.Org()), b); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(c.orgs, func(a, b tenancy.Scope) int { return strings.Compare(a.Org().UUID(), b.Org().UUID()) })
	return c
}

func (c *crossing) entropy() [10]byte { c.n++; return [10]byte{c.n} }

type work = func(context.Context, ports.Repositories) error

// reserve is a job that sets money aside.
func (c *crossing) reserve(org int, amount price.Micro) work {
	r := budget.Reservation{ID: budget.NewReservationID(c.at, c.entropy()), Amount: amount, At: c.at, Expires: c.at.Add(time.Hour)}
	return func(ctx context.Context, tx ports.Repositories) error {
		return tx.Budgets().Reserve(ctx, c.orgs[org], r)
	}
}

// slowly returns when n servers are setting money aside slowly.
func (c *crossing) slowly(n int) {
	for {
		var are int
		if err := c.look.QueryRowContext(c.t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()").Scan(&are); err != nil {
			c.t.Fatal(err)
		}
		if are == n {
			return
		}
	}
}

// batch has a server that is writing run jobs in one batch, in this order, and gives
// where their ends are told.
func (c *crossing) batch(s *Store, jobs ...work) (ends []chan error) {
	for _, job := range jobs {
		begun, ended := make(chan struct{}, 8), make(chan error, 1)
		ends = append(ends, ended)
		go func() {
			ended <- s.Atomically(c.t.Context(), func(ctx context.Context, tx ports.Repositories) error {
				begun <- struct{}{}
				return job(ctx, tx)
			})
		}()
		<-begun
	}
	return ends
}

// Where a job of a batch fails, its neighbours are sent out one by one. Servers that do
// so at the same time come to organisations in one order.
func TestServersWhoseJobsGoOutAloneDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	c := crosswise(t)
	before := slices.Concat(c.batch(c.one, c.reserve(2, slow)), c.batch(c.other, c.reserve(3, slow)))
	c.slowly(2)
	one := c.batch(c.one, c.reserve(0, slow), c.reserve(1, 1), c.reserve(4, 2000))
	other := c.batch(c.other, c.reserve(1, slow), c.reserve(0, 1), c.reserve(5, 2000))
	for i, end := range slices.Concat(before, one[:2], other[:2]) {
		if err := <-end; err != nil {
			t.Errorf("%d: got %v", i, err)
		}
	}
	for _, end := range []chan error{one[2], other[2]} {
		if err := <-end; !fault.Is(err, fault.QuotaExhausted) {
			t.Errorf("got %v", err)
		}
	}
}

// What has failed is run again when its neighbours are stored, so that it waits for
// nobody who waits for them.
func TestAJobThatIsRunAgainHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	c := crosswise(t)
	before := c.batch(c.one, c.reserve(2, slow))
	c.slowly(1)
	one := c.batch(c.one, c.reserve(0, 2000), c.reserve(1, slow))
	if err := <-before[0]; err != nil {
		t.Fatal(err)
	}
	c.slowly(1)
	first, second, begun := c.reserve(0, 1), c.reserve(1, 1), time.Now()
	if err := c.other.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		if err := first(ctx, tx); err != nil {
			return err
		}
		return second(ctx, tx)
	}); err != nil {
		t.Error(err)
	}
	if err := <-one[1]; err != nil {
		t.Error(err)
	}
	if err := <-one[0]; !fault.Is(err, fault.QuotaExhausted) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > patience {
		t.Errorf("they have waited for each other: %v", took)
	}
}

// run has a server run jobs in one batch, and gives what each of them is told.
func (c *crossing) run(s *Store, jobs ...work) []error {
	c.t.Helper()
	b, ends := s.begin(s.writes.wire(nil)), make([]error, len(jobs))
	defer b.Rollback()
	run := func(n int, careful bool) (err error) {
		r, err := b.Job(c.t.Context(), n, careful)
		if err != nil {
			return err
		}
		if ends[n] = jobs[n](c.t.Context(), r); ends[n] == nil {
			ends[n] = b.Keep(c.t.Context())
		}
		if ends[n] != nil {
			return b.Undo(c.t.Context())
		}
		return nil
	}
	var err error
	for n := 0; n < len(jobs) && err == nil; n++ {
		err = run(n, false)
	}
	for failed := []int{none}; err == nil && len(failed) > 0; {
		failed, _, err = b.Commit(c.t.Context())
		for i := 0; i < len(failed) && err == nil; i++ {
			err = run(failed[i], true)
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return ends
}

// held is how much is set aside in an organisation.
func (c *crossing) held(org int) (amount price.Micro) {
	c.t.Helper()
	if err := c.look.QueryRowContext(c.t.Context(), "SELECT coalesce(sum(amount_micro), 0) FROM agentapi.budget_holds WHERE org_id = $1", c.orgs[org].Org().UUID()).Scan(&amount); err != nil {
		c.t.Fatal(err)
	}
	return amount
}

// asking is a job that asks something about an organisation before it goes on.
func (c *crossing) asking(org int, then work) work {
	return func(ctx context.Context, tx ports.Repositories) error {
		if _, err := tx.Budgets().Any(ctx, tenancy.RealmOf(c.orgs[org].Org())); err != nil {
			return err
		}
		return then(ctx, tx)
	}
}

// Of a job that has asked something the rest is sent with its neighbours, whose
// organisations may come before its own. It is still in its own savepoint and about its
// own organisation: it takes none of them along when it fails, and misses no row.
func TestAJobThatIsSentInPartStaysWhole(t *testing.T) {
	t.Parallel()
	c := crosswise(t)
	if ends := c.run(c.one, c.asking(1, c.reserve(1, 2000)), c.reserve(0, 1)); !fault.Is(ends[0], fault.QuotaExhausted) || ends[1] != nil || c.held(0) != 1 {
		t.Errorf("got %v, and %d is set aside of what was kept", ends, c.held(0))
	}
	hold := budget.NewReservationID(c.at, c.entropy())
	release := func(ctx context.Context, tx ports.Repositories) error {
		return tx.Budgets().Release(ctx, c.orgs[1], hold)
	}
	err := c.one.Budgets().Reserve(t.Context(), c.orgs[1], budget.Reservation{ID: hold, Amount: 5, At: c.at, Expires: c.at.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if ends := c.run(c.one, c.asking(1, release), c.reserve(0, 1)); ends[0] != nil || ends[1] != nil || c.held(0) != 2 || c.held(1) != 0 {
		t.Errorf("got %v; %d and %d are set aside", ends, c.held(0), c.held(1))
	}
}

// Where the answer is lost to the commit of those who are stored before others are run
// again, it is looked up, and nothing of it is sent once more with the others.
func TestWhatIsStoredBeforeOthersAreRunAgainIsLookedUp(t *testing.T) {
	t.Parallel()
	c := crosswise(t)
	net := server.Cutting(t, c.d.Server.Addr)
	o := c.one.o
	o.URL, o.Instance = c.d.At(o.URL, net.Addr), ""
	s := start(t, o)
	entry := recorded(t, 1, func(f *audit.Fields) { f.Request = "a request" })
	net.Cut("a request", false)
	ends := c.run(s, c.reserve(0, 2000), c.asking(1, func(ctx context.Context, tx ports.Repositories) error { return tx.Audit().Append(ctx, entry) }))
	if !fault.Is(ends[0], fault.QuotaExhausted) || ends[1] != nil || net.Cuts != 1 {
		t.Errorf("got %v, with %d cuts", ends, net.Cuts)
	}
	if entries, err := s.Trail().Range(t.Context(), 0, 10); err != nil || len(entries) != 1 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

// A batch that goes out again, since its connection has ended, has no failures yet: what
// failed before may be stored now, and is not run again beside that.
func TestABatchThatGoesOutAgainForgetsWhatHadFailed(t *testing.T) {
	t.Parallel()
	c := crosswise(t)
	c.d.Server.Admin(t, c.d.Name, "CREATE SEQUENCE agentapi.tries", `CREATE FUNCTION agentapi.stumble() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
		CASE nextval('agentapi.tries') WHEN 1, 2 THEN RAISE EXCEPTION 'not yet'; WHEN 3 THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(1); ELSE END CASE; RETURN NEW; END $$`,
		"CREATE TRIGGER stumble BEFORE INSERT ON agentapi.budget_holds FOR EACH ROW EXECUTE FUNCTION agentapi.stumble()")
	ends := c.run(c.one, c.reserve(0, 1), c.reserve(0, 2)) // together, the first alone, and the second
	if ends[0] != nil || ends[1] != nil || c.held(0) != 3 {
		t.Errorf("got %v, and %d is set aside", ends, c.held(0))
	}
}
