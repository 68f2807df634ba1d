package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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
	c := &crossing{t: t, one: start(t, o), other: start(t, o), look: d.Server.Look(t, d.Name), at: time.Now()}
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
