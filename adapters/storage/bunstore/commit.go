package bunstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"agentapi/domain/fault"
	"agentapi/ports"
)

const (
	// maxBatch is how many transactions one commit takes along at most.
	maxBatch = 256
	// grace is how long a caller whose time is up waits to be told whether its
	// transaction, which is in the commit under way, is stored.
	grace = 2 * time.Second
	// again is how often a job is run that collides with another instance's.
	again = 3
	// many is how many transactions of a commit are awaited again.
	many = 8
)

// Writer is how a database writes; a Committer uses it from one goroutine.
type Writer struct {
	// Begin opens a transaction that many jobs share. Its context ends with Limit.
	// The one before may still be under way: it has ended when turn is closed, and
	// nothing may reach the database before.
	Begin func(ctx context.Context, turn <-chan struct{}) (Batch, error)
	// Limit bounds a batch, and how long a caller waits where the database does
	// not answer; 0: both take as long as they take.
	Limit time.Duration
	// Pause is how long a batch waits at most for half of those who came with the one
	// before, if that were many: they are answered together, and soon ask again. Who comes
	// first would else have a commit alone. 0: it does not wait.
	Pause time.Duration
	// Collided tells the error of a statement that may succeed when its job is
	// run again; nil: there is none.
	Collided func(error) bool
}

// Batch is a transaction that takes one job after the other. What fails in it
// but for a job's own statements breaks the whole.
type Batch interface {
	// Job begins the job n and gives what it reads and writes with. Unless it is
	// careful, its statements may be sent later than they are made, and then
	// succeed until it shows that they have not.
	Job(ctx context.Context, n int, careful bool) (*Repositories, error)
	// Keep ends a job well; an error means that it must be undone.
	Keep(ctx context.Context) error
	// Undo ends a job of which nothing shall be left.
	Undo(ctx context.Context) error
	// Commit makes all that was kept durable; where its outcome is not known, it
	// finds out. If it turns out that statements of jobs had failed, it undoes and
	// gives those: they are to be run again, carefully and in that order. Where they
	// could wait for somebody who waits for the others, those are stored before, and the
	// batch is another transaction from then on.
	Commit(ctx context.Context) (failed []int, stored bool, err error)
	// Rollback gives the batch up.
	Rollback()
}

// Committer is the one writer of an instance. Transactions that come while a
// commit is under way share the next one, so that many concurrent requests cost
// few syncs; each runs in a savepoint of its own and succeeds or fails alone.
// Where the database lets it, they are made ready meanwhile.
type Committer struct {
	w Writer

	gate   sync.RWMutex // held for writing while jobs is closed
	closed bool
	jobs   chan *job
	writer sync.WaitGroup
	before int // how many transactions the batch before had
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

// NewCommitter starts a committer that writes as w does.
func NewCommitter(w Writer) *Committer {
	c := &Committer{w: w, jobs: make(chan *job, maxBatch)}
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

// Outside refuses the use of the storage itself within a transaction, which
// would wait for itself for ever, and a context that has ended.
func Outside(ctx context.Context) error {
	if ctx.Value(inside{}) != nil {
		return fault.Internalf("the storage was used inside its own transaction")
	}
	return Failed(ctx, ctx.Err())
}

// Undecided is the fault of a transaction of which nobody knows whether it is
// stored.
func Undecided(kind fault.Kind, cause error) error {
	return fault.Wrap(kind, cause, "The storage did not answer in time; the change may be stored all the same.").
		WithCode("storage_unavailable").WithRetryAfter(time.Second)
}

// Atomically has the writer run fn and returns when it is committed. Where ctx
// or the writer's limit ends before fn began, nothing is stored. Where ctx ends
// later, the outcome is waited for a little; only a commit that hangs is left
// undecided.
func (c *Committer) Atomically(ctx context.Context, fn func(context.Context, ports.Repositories) error) error {
	if err := Outside(ctx); err != nil {
		return err
	}
	var limit <-chan time.Time
	if c.w.Limit > 0 {
		t := time.NewTimer(c.w.Limit)
		defer t.Stop()
		limit = t.C
	}
	j := &job{ctx: ctx, fn: fn, done: make(chan struct{})}
	if err := c.submit(j, limit); err != nil {
		return err
	}
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
	case <-limit:
		if begun, _ := j.leave(); !begun {
			return Late(context.DeadlineExceeded)
		}
		select { // the batch has the same limit, so that it is about to fail
		case <-j.done:
			return j.err
		case <-ctx.Done():
		case <-time.After(c.w.Limit / 8):
			return Undecided(fault.Unavailable, context.DeadlineExceeded)
		}
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
		return Undecided(fault.Timeout, ctx.Err())
	}
}

// Late is the fault of a storage that has not answered in its time.
func Late(cause error) error { return unreachable(cause) }

func (c *Committer) submit(j *job, limit <-chan time.Time) error {
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
	case <-limit:
		return Late(context.DeadlineExceeded)
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
	ended := make(chan struct{})
	close(ended)
	for j := range c.jobs {
		ended = c.commit(j, ended)
	}
}

// commit gathers a batch that begins with a job, until the one before has ended,
// and returns when it goes to the database; ended is closed when each of its jobs
// has been told how it went.
func (c *Committer) commit(first *job, turn <-chan struct{}) (ended chan struct{}) {
	ctx := context.WithValue(context.WithoutCancel(first.ctx), inside{}, true)
	cancel := func() {}
	if c.w.Limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, c.w.Limit)
	}
	start, batch := time.Now(), c.company(first, turn)
	tx, err := c.w.Begin(ctx, turn)
	for n := 0; err == nil && n < len(batch); n++ {
		if err = c.attempt(ctx, tx, n, batch[n], false); err != nil {
			break // the transaction itself is broken
		}
		if n+1 < len(batch) || n+1 == maxBatch || c.w.Limit > 0 && time.Since(start) > c.w.Limit/2 {
			continue
		}
		if j := c.next(ctx, turn); j != nil {
			batch = append(batch, j)
		}
	}
	c.before = len(batch)
	<-turn // it has a limit, too, and two of them are enough
	ended = make(chan struct{})
	c.writer.Go(func() {
		defer close(ended)
		defer cancel()
		waiting := batch
		if err == nil {
			waiting, err = c.finish(ctx, tx, batch)
		}
		if err != nil && tx != nil {
			tx.Rollback()
		}
		tell(waiting, Failed(ctx, err))
	})
	return ended
}

// tell says to jobs how they went: what they said themselves or, if that was well, how
// their commit went.
func tell(jobs []*job, err error) {
	for _, j := range jobs {
		if j.err = j.own; j.err == nil {
			j.err = err
		}
		close(j.done)
	}
}

// next gives a job that comes while the batch before is under way or that waits
// when it has ended; nil where there is none.
func (c *Committer) next(ctx context.Context, turn <-chan struct{}) *job {
	select {
	case j := <-c.jobs:
		return j
	case <-ctx.Done():
		return nil
	case <-turn:
	}
	select {
	case j := <-c.jobs:
		return j
	default:
		return nil
	}
}

// company gives those with whom a job begins a batch. Nothing is read or locked while
// they are waited for, and where a batch is under way, that gives them time.
func (c *Committer) company(first *job, turn <-chan struct{}) []*job {
	batch := []*job{first}
	if c.w.Pause == 0 || c.before < many {
		return batch
	}
	select {
	case <-turn:
	default:
		return batch
	}
	over := time.NewTimer(c.w.Pause)
	defer over.Stop()
	for len(batch) < c.before/2 {
		select {
		case j, open := <-c.jobs:
			if !open {
				return batch
			}
			batch = append(batch, j)
		case <-over.C:
			return batch
		}
	}
	return batch
}

// finish commits, after those jobs have been run again that turned out to have failed. It
// gives the jobs that have not been told how they went, which is as the last commit did.
func (c *Committer) finish(ctx context.Context, tx Batch, batch []*job) (waiting []*job, err error) {
	waiting = batch
	for {
		failed, stored, err := tx.Commit(ctx)
		if err != nil || len(failed) == 0 {
			return waiting, err
		}
		if stored {
			rest := make([]*job, len(failed))
			for i, n := range failed {
				rest[i] = batch[n]
			}
			tell(slices.DeleteFunc(slices.Clone(waiting), func(j *job) bool { return slices.Contains(rest, j) }), nil)
			waiting = rest
		}
		for _, n := range failed {
			if err := c.attempt(ctx, tx, n, batch[n], true); err != nil {
				return waiting, err
			}
		}
	}
}

// attempt runs one job. It returns an error only where the transaction as a
// whole cannot go on.
func (c *Committer) attempt(ctx context.Context, tx Batch, n int, j *job, careful bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.left {
		if j.begun { // it is undone, and what it uses is its caller's again
			j.own = Late(context.DeadlineExceeded)
		}
		return nil
	}
	j.begun = true
	for tries := 1; ; tries++ {
		r, err := tx.Job(ctx, n, careful)
		if err != nil {
			return err
		}
		if j.own = c.call(ctx, r, j); j.own == nil {
			j.own = tx.Keep(ctx)
		}
		if j.own == nil {
			return nil
		}
		if err := tx.Undo(ctx); err != nil {
			return err
		}
		if !careful || tries == again || c.w.Collided == nil || !c.w.Collided(j.own) {
			return nil
		}
	}
}

func (c *Committer) call(ctx context.Context, r *Repositories, j *job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Internalf("panic in a transaction: %v", p)
		}
	}()
	// A statement must not be cut off in the middle of the shared transaction, so
	// the job's own end is looked at before it begins only.
	return j.fn(within{j.ctx, ctx}, r)
}

// within is the context of a job: it ends with the batch, and has the values of
// both.
type within struct {
	values context.Context
	context.Context
}

// Value gives a value of the batch's or, if it has none, of the caller's.
func (w within) Value(key any) any {
	if v := w.Context.Value(key); v != nil {
		return v
	}
	return w.values.Value(key)
}
