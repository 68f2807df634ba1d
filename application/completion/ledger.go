package completion

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/budget"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// entry is what is to be booked of a run that did not complete.
type entry struct {
	scope  tenancy.Scope
	usage  []usage.Record
	claim  *idempotency.Claim
	result *idempotency.Result // nil: the claim is released
	hold   *budget.Reservation // given back; nil: nothing was set aside
	note   *trail.Note         // for the audit log; nil: nothing
	since  time.Time           // when it was first to be booked
}

// How booking is tried again while the storage is away.
const (
	backlog    = 4096 // entries that wait; more are lost, and said to be
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// ledger books entries, at once where the storage answers, else from a bounded
// queue until it does.
type ledger struct {
	storage ports.Storage
	obs     ports.Observer
	audit   *trail.Recorder
	now     func() time.Time
	queue   chan entry
	oldest  atomic.Pointer[entry] // the one that is being tried again; nil: none is
	done    sync.WaitGroup
	quit    context.Context
	cancel  context.CancelFunc
}

func newLedger(p Params) *ledger {
	l := &ledger{storage: p.Storage, obs: p.Observer, audit: p.Audit, now: p.Now, queue: make(chan entry, backlog)}
	l.quit, l.cancel = context.WithCancel(context.Background())
	return l
}

func (l *ledger) start() {
	l.done.Go(func() {
		for {
			select {
			case <-l.quit.Done():
				return
			case e := <-l.queue:
				l.persist(l.quit, e)
			}
		}
	})
}

// stop books what waits, until ctx ends.
func (l *ledger) stop(ctx context.Context) error {
	l.cancel()
	l.done.Wait()
	for {
		select {
		case e := <-l.queue:
			if err := l.write(ctx, e); err != nil {
				l.obs.Lost(ctx, "usage of an answer that was not completed", err)
			}
		default:
			return nil
		}
	}
}

// book writes e, or queues it when that fails. It outlives the request's ctx.
func (l *ledger) book(ctx context.Context, e entry) {
	ctx = context.WithoutCancel(ctx)
	e.since = l.now()
	if err := l.write(ctx, e); err == nil {
		return
	}
	select {
	case l.queue <- e:
	default:
		l.obs.Lost(ctx, "usage of an answer that was not completed", fault.New(fault.Unavailable, "the queue of bookings is full"))
	}
}

// waiting is how many entries wait, and how long the oldest of them has.
func (l *ledger) waiting() (n int, lag time.Duration) {
	n = len(l.queue)
	if e := l.oldest.Load(); e != nil {
		n, lag = n+1, l.now().Sub(e.since)
	}
	return n, lag
}

// persist tries until it succeeds; when ctx ends first, e goes back for stop.
func (l *ledger) persist(ctx context.Context, e entry) {
	l.oldest.Store(&e)
	defer l.oldest.Store(nil)
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		if l.write(ctx, e) == nil {
			return
		}
		select {
		case <-ctx.Done():
			select {
			case l.queue <- e:
			default:
				l.obs.Lost(ctx, "usage of an answer that was not completed", context.Cause(ctx))
			}
			return
		case <-time.After(wait):
		}
	}
}

func (l *ledger) write(ctx context.Context, e entry) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	var recorded []audit.Entry
	if e.note != nil {
		one, err := l.audit.Entry(ctx, *e.note)
		if err != nil {
			return err
		}
		recorded = append(recorded, one)
	}
	return l.storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		if err := e.giveBack(ctx, tx); err != nil {
			return err
		}
		if len(e.usage) > 0 {
			if err := tx.Usage().Record(ctx, e.scope, e.usage...); err != nil {
				return err
			}
		}
		if err := l.audit.Append(ctx, tx, recorded...); err != nil {
			return err
		}
		switch {
		case e.claim == nil:
			return nil
		case e.result == nil:
			return tx.Idempotency().Release(ctx, e.scope, *e.claim)
		default:
			err := tx.Idempotency().Complete(ctx, e.scope, *e.claim, *e.result)
			if fault.Is(err, fault.Conflict) {
				return nil // the claim has lapsed and belongs to a later request
			}
			return err
		}
	})
}
