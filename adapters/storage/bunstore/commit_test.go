package bunstore

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // a real database, which is what a commit is about

	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/migrations"
	"agentapi/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func unavailable(error) fault.Kind { return fault.Unavailable }

type committer struct {
	*Committer
	db *bun.DB
}

func fresh(t *testing.T) *committer {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := migrations.Up(t.Context(), db, migrations.SQLite); err != nil {
		t.Fatal(err)
	}
	c := &committer{db: bun.NewDB(db, sqlitedialect.New())}
	c.Committer = NewCommitter(Savepoints(c.db, unavailable))
	t.Cleanup(func() {
		c.Stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func scope() tenancy.Scope {
	p, err := tenancy.NewPrincipal(tenancy.Identity{}, named(tenancy.OrgID{}, "o"), named(tenancy.UserID{}, "u"))
	if err != nil {
		panic(err)
	}
	return p.Scope()
}

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

func numbered(n int) *session.Session {
	return session.New(session.NewID(time.Unix(int64(n), 0), [10]byte{1}), scope(), session.Key{}, time.Now())
}

func creates(n int) func(context.Context, ports.Repositories) error {
	return func(ctx context.Context, tx ports.Repositories) error {
		return tx.Sessions().Create(ctx, scope(), numbered(n))
	}
}

func stored(t *testing.T, c *committer, n int) bool {
	t.Helper()
	_, err := On(c.db, unavailable).Sessions().Get(t.Context(), scope(), numbered(n).ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// occupy keeps the writer busy until the returned function is called.
func occupy(t *testing.T, c *committer) (release func()) {
	t.Helper()
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- c.Atomically(context.WithoutCancel(t.Context()), func(context.Context, ports.Repositories) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	return func() {
		close(end)
		t.Cleanup(func() {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// waiting returns when n transactions are queued behind the one that runs.
func waiting(t *testing.T, c *committer, n int) {
	t.Helper()
	for len(c.jobs) < n {
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(time.Millisecond):
		}
	}
}

func TestWhoLeavesBeforeItsTurnStoresNothing(t *testing.T) {
	t.Parallel()
	c := fresh(t)
	release := occupy(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- c.Atomically(ctx, creates(1)) }()
	waiting(t, c, 1)
	cancel()
	if err := <-left; !fault.Is(err, fault.Canceled) {
		t.Errorf("got %v", err)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.Atomically(late, creates(2)); !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v", err)
	}
	release()
	if err := c.Atomically(t.Context(), creates(3)); err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]bool{1: false, 2: false, 3: true} {
		if stored(t, c, n) != want {
			t.Errorf("%d: stored is %v", n, !want)
		}
	}
}

func TestWhoLeavesWhileItIsCommittedIsToldTheTruth(t *testing.T) {
	t.Parallel()
	c, mine := fresh(t), errors.New("mine")
	for n, want := range []error{nil, mine} {
		ctx, cancel := context.WithCancel(t.Context())
		err := c.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
			cancel()
			if err := tx.Sessions().Create(ctx, scope(), numbered(n)); err != nil {
				return err
			}
			return want
		})
		if err != want || stored(t, c, n) != (want == nil) {
			t.Errorf("got %v, stored: %v", err, stored(t, c, n))
		}
	}
}

func TestACommitThatHangsIsLeftUndecidedAfterAWhile(t *testing.T) {
	t.Parallel()
	c := fresh(t)
	release := occupy(t, c) // so that the next two come into one batch
	ctx, cancel := context.WithCancel(t.Context())
	ran, hang := make(chan struct{}), make(chan struct{})
	waits, hangs := make(chan error, 1), make(chan error, 1)
	go func() {
		waits <- c.Atomically(ctx, func(context.Context, ports.Repositories) error {
			close(ran)
			return nil
		})
	}()
	waiting(t, c, 1)
	go func() {
		hangs <- c.Atomically(t.Context(), func(context.Context, ports.Repositories) error {
			<-hang
			return nil
		})
	}()
	waiting(t, c, 2)
	release()
	<-ran
	cancel()
	if err := <-waits; !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v", err)
	}
	close(hang)
	if err := <-hangs; err != nil {
		t.Error(err)
	}
}

func TestOneThatFailsInABatchFailsAlone(t *testing.T) {
	t.Parallel()
	c, mine := fresh(t), errors.New("mine")
	release := occupy(t, c)
	const batch = 30
	var all sync.WaitGroup
	for n := range batch {
		all.Go(func() {
			err := c.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
				if err := creates(n)(ctx, tx); err != nil {
					return err
				}
				switch n % 3 {
				case 1:
					return mine
				case 2:
					panic("in a transaction")
				default:
					return nil
				}
			})
			if n%3 == 0 && err != nil || n%3 == 1 && err != mine || n%3 == 2 && !fault.Is(err, fault.Internal) {
				t.Errorf("%d: got %v", n, err)
			}
		})
	}
	waiting(t, c, batch)
	release()
	all.Wait()
	for n := range batch {
		if stored(t, c, n) != (n%3 == 0) {
			t.Errorf("%d: stored is %v", n, stored(t, c, n))
		}
	}
}

// Whoever comes first after a commit of many waits a little for half of the others, and
// nobody waits for long for those who do not come back.
func TestThoseOfACommitMeetAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &counting{}
		c := NewCommitter(Writer{Begin: func(_ context.Context, turn <-chan struct{}) (Batch, error) {
			<-turn
			w.sizes = append(w.sizes, 0)
			return w, nil
		}, Pause: 4 * time.Millisecond})
		write := func(after time.Duration) {
			time.Sleep(after)
			if err := c.Atomically(t.Context(), func(context.Context, ports.Repositories) error { return nil }); err != nil {
				t.Error(err)
			}
		}
		var all sync.WaitGroup
		all.Go(func() { write(0) }) // takes a millisecond
		for n := range 2 * many {
			all.Go(func() {
				write(500 * time.Microsecond)
				write(time.Duration(n+1) * 100 * time.Microsecond)
			})
		}
		all.Wait()
		begun := time.Now()
		for range 3 {
			write(0)
		}
		// The first of them waits in vain; after it nobody does.
		if took := time.Since(begun); took != 4*time.Millisecond+3*time.Millisecond {
			t.Errorf("three in a row take %v", took)
		}
		c.Stop()
		if want := []int{1, 2 * many, many, many, 1, 1, 1}; !slices.Equal(w.sizes, want) {
			t.Errorf("batches are of %v, not %v", w.sizes, want)
		}
	})
}

// counting is a batch of which each commit takes a millisecond.
type counting struct{ sizes []int }

func (c *counting) Job(context.Context, int, bool) (*Repositories, error) {
	c.sizes[len(c.sizes)-1]++
	return nil, nil
}

func (c *counting) Keep(context.Context) error { return nil }
func (c *counting) Undo(context.Context) error { return nil }
func (c *counting) Rollback()                  {}

func (c *counting) Commit(context.Context) ([]int, bool, error) {
	time.Sleep(time.Millisecond)
	return nil, false, nil
}

func TestStopCommitsWhatWaits(t *testing.T) {
	t.Parallel()
	c := fresh(t)
	release := occupy(t, c)
	var (
		all          sync.WaitGroup
		acknowledged [maxBatch + 50]atomic.Bool // more than one commit takes
	)
	for n := range acknowledged {
		all.Go(func() {
			switch err := c.Atomically(t.Context(), creates(n)); {
			case err == nil:
				acknowledged[n].Store(true)
			case !fault.Is(err, fault.Unavailable): // it came too late
				t.Error(err)
			}
		})
	}
	waiting(t, c, maxBatch)
	stopped := make(chan struct{})
	go func() {
		c.Stop()
		close(stopped)
	}()
	release()
	all.Wait()
	<-stopped
	kept := 0
	for n := range acknowledged {
		is := stored(t, c, n)
		if is != acknowledged[n].Load() {
			t.Errorf("%d: stored is %v, acknowledged %v", n, is, !is)
		}
		if is {
			kept++
		}
	}
	if kept < maxBatch {
		t.Errorf("%d were kept of those that waited", kept)
	}
	if err := c.Atomically(t.Context(), creates(1000)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after the stop: got %v", err)
	}
	c.Stop()
}
