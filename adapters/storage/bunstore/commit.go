package bunstore

import (
	"context"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/fault"
	"agentapi/ports"
)

const (
	// maxBatch is how many transactions one commit takes along at most.
	maxBatch = 256
	// grace is how long a caller whose time is up waits to be told whether its
	// transaction, which is in the commit under way, is stored.
	grace = 2 * time.Second
)

// Committer is the one writer of an instance. Transactions that wait while a
// commit is under way share the next one, so that many concurrent requests cost
// few syncs; each runs in a savepoint of its own and succeeds or fails alone.
type Committer struct {
	db   *bun.DB
	kind Classify

	gate   sync.RWMutex // held for writing while jobs is closed
	closed bool
	jobs   chan *job
	writer sync.WaitGroup
}

type job struct {
	ctx context.Context
	fn  func(ctx context.Context, tx ports.Repositories) error

	mu    sync.Mutex // held while fn runs
	begun bool
	left  bool  // the caller has gone before fn began
	own   error // what fn returned

	done chan struct{}
	err  error // the outcome; set before done is closed
}

// NewCommitter starts a writer on db, which must not be written to otherwise.
func NewCommitter(db *bun.DB, kind Classify) *Committer {
	c := &Committer{db: db, kind: kind, jobs: make(chan *job, maxBatch)}
	c.writer.Go(c.run)
	return c
}

// Stop refuses new transactions, commits those that wait and joins the writer.
// It may be called again.
func (c *Committer) Stop() {
	c.gate.Lock()
	if !c.closed {
		c.closed = true
		close(c.jobs)
	}
	c.gate.Unlock()
	c.writer.Wait()
}

// Closed is the fault of a storage that is not open.
func Closed() error {
	return fault.New(fault.Unavailable, "The storage is closed.").WithCode("storage_unavailable")
}

// inside marks the context of a transaction's function.
type inside struct{}

// outside refuses the use of the storage itself within a transaction, which
// would wait for itself for ever, and a context that has ended.
func outside(ctx context.Context) error {
	if ctx.Value(inside{}) != nil {
		return fault.Internalf("the storage was used inside its own transaction")
	}
	return Failed(ctx, ctx.Err())
}

// Atomically has the writer run fn and returns when it is committed. Where ctx
// ends before fn began, nothing is stored. Where it ends later, the outcome is
// waited for a little; only a commit that hangs is left undecided.
func (c *Committer) Atomically(ctx context.Context, fn func(context.Context, ports.Repositories) error) error {
	if err := outside(ctx); err != nil {
		return err
	}
	j := &job{ctx: ctx, fn: fn, done: make(chan struct{})}
	if err := c.submit(j); err != nil {
		return err
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
	}
	if begun, own := j.leave(); !begun {
		return Failed(ctx, ctx.Err())
	} else if own != nil {
		return own
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case <-j.done:
		return j.err
	case <-patience.C:
		return fault.Wrap(fault.Timeout, ctx.Err(), "The storage did not answer in time; the change may be stored all the same.")
	}
}

func (c *Committer) submit(j *job) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	if c.closed {
		return Closed()
	}
	select {
	case c.jobs <- j:
		return nil
	case <-j.ctx.Done():
		return Failed(j.ctx, j.ctx.Err())
	}
}

// leave gives a job up for a caller who will not wait. It waits while fn runs,
// since fn uses what is its caller's.
func (j *job) leave() (begun bool, own error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.left = true
	return j.begun, j.own
}

func (c *Committer) run() {
	batch := make([]*job, 0, maxBatch)
	for j := range c.jobs {
		batch = append(batch[:0], j)
		for more := true; more && len(batch) < maxBatch; {
			select {
			case j, ok := <-c.jobs:
				if more = ok; ok {
					batch = append(batch, j)
				}
			default:
				more = false
			}
		}
		c.commit(batch)
		clear(batch)
	}
}

// commit runs a batch in one transaction and tells each job how it went.
func (c *Committer) commit(batch []*job) {
	ctx := context.WithoutCancel(batch[0].ctx)
	tx, err := c.db.BeginTx(ctx, nil)
	if err == nil {
		for _, j := range batch {
			if err = c.attempt(ctx, tx, j); err != nil {
				break // the transaction itself is broken
			}
		}
		if err == nil {
			err = tx.Commit()
		} else {
			_ = tx.Rollback() // its own error says no more than err
		}
	}
	for _, j := range batch {
		if j.err = j.own; j.err == nil {
			j.err = Failed(ctx, err)
		}
		close(j.done)
	}
}

// attempt runs one job in a savepoint. It returns an error only where the
// transaction as a whole cannot go on.
func (c *Committer) attempt(ctx context.Context, tx bun.Tx, j *job) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.left {
		return nil
	}
	j.begun = true
	if _, err := tx.ExecContext(ctx, "SAVEPOINT job"); err != nil {
		return err
	}
	j.own = c.call(tx, j)
	end := "RELEASE job"
	if j.own != nil {
		end = "ROLLBACK TO job"
	}
	_, err := tx.ExecContext(ctx, end)
	return err
}

func (c *Committer) call(tx bun.Tx, j *job) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fault.Internalf("panic in a transaction: %v", r)
		}
	}()
	// A statement must not be cut off in the middle of the shared transaction, so
	// the job's own end is looked at before it begins only.
	ctx := context.WithValue(context.WithoutCancel(j.ctx), inside{}, true)
	return j.fn(ctx, On(tx, c.kind))
}
