package bunstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/uptrace/bun"

	"agentapi/domain/fault"
	"agentapi/ports"
)

// maxBatch is how many transactions one commit takes along at most.
const maxBatch = 256

// Committer is the one writer of an instance. Transactions that wait while a
// commit is under way share the next one, so that many concurrent requests cost
// few syncs; each runs in a savepoint of its own and succeeds or fails alone.
type Committer struct {
	db    *bun.DB
	taken func(error) bool

	jobs chan *job
	quit chan struct{}
	done sync.WaitGroup
}

type job struct {
	ctx  context.Context
	fn   func(ctx context.Context, tx ports.Repositories) error
	err  error
	done chan struct{}
}

// NewCommitter starts a writer on db, which must not be written to otherwise.
func NewCommitter(db *bun.DB, taken func(error) bool) *Committer {
	c := &Committer{db: db, taken: taken, jobs: make(chan *job, maxBatch), quit: make(chan struct{})}
	c.done.Go(c.run)
	return c
}

// Stop lets what waits fail and joins the writer.
func (c *Committer) Stop() {
	close(c.quit)
	c.done.Wait()
}

func closed() error {
	return fault.New(fault.Unavailable, "The storage is closed.").WithCode("storage_unavailable")
}

// inside marks the context of a transaction's function.
type inside struct{}

// Outside refuses the use of the storage itself within a transaction, which
// would wait for itself for ever.
func Outside(ctx context.Context) error {
	if ctx.Value(inside{}) != nil {
		return fault.Internalf("the storage was used inside its own transaction")
	}
	return nil
}

// Atomically has the writer run fn and returns when it is committed.
func (c *Committer) Atomically(ctx context.Context, fn func(context.Context, ports.Repositories) error) error {
	if err := Outside(ctx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return Failed(ctx, ctx.Err())
	}
	j := &job{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case c.jobs <- j:
	case <-ctx.Done():
		return Failed(ctx, ctx.Err())
	case <-c.quit:
		return closed()
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		// It may be committed all the same; the caller knows only that it was not told.
		return Failed(ctx, ctx.Err())
	case <-c.quit:
		return closed()
	}
}

func (c *Committer) run() {
	batch := make([]*job, 0, maxBatch)
	for {
		batch = batch[:0]
		select {
		case <-c.quit:
			return
		case j := <-c.jobs:
			batch = append(batch, j)
		}
		for more := true; more && len(batch) < maxBatch; {
			select {
			case j := <-c.jobs:
				batch = append(batch, j)
			default:
				more = false
			}
		}
		c.commit(batch)
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
		if j.err == nil {
			j.err = Failed(ctx, err)
		}
		close(j.done)
	}
}

// attempt runs one job in a savepoint. It returns an error only where the
// transaction as a whole cannot go on.
func (c *Committer) attempt(ctx context.Context, tx bun.Tx, j *job) error {
	if j.ctx.Err() != nil {
		j.err = Failed(j.ctx, j.ctx.Err())
		return nil
	}
	if _, err := tx.ExecContext(ctx, "SAVEPOINT job"); err != nil {
		return err
	}
	j.err = c.call(tx, j)
	end := "RELEASE job"
	if j.err != nil {
		end = "ROLLBACK TO job"
	}
	_, err := tx.ExecContext(ctx, end)
	return err
}

func (c *Committer) call(tx bun.Tx, j *job) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fault.Internalf("panic in a transaction: %v", fmt.Sprint(r))
		}
	}()
	// A statement must not be cut off in the middle of the shared transaction, so
	// the job's own end is looked at between jobs only.
	ctx := context.WithValue(context.WithoutCancel(j.ctx), inside{}, true)
	return j.fn(ctx, On(tx, c.taken))
}
