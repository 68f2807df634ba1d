package completion

import (
	"context"
	"sync"
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
	queue   chan entry
	done    sync.WaitGroup
	quit    context.Context
	cancel  context.CancelFunc
}

func newLedger(s ports.Storage, o ports.Observer, a *trail.Recorder) *ledger {
	l := &ledger{storage: s, obs: o, audit: a, queue: make(chan entry, backlog)}
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
	if err := l.write(ctx, e); err == nil {
		return
	}
	select {
	case l.queue <- e:
	default:
		l.obs.Lost(ctx, "usage of an answer that was not completed", fault.New(fault.Unavailable, "the queue of bookings is full"))
	}
}

// persist tries until it succeeds; when ctx ends first, e goes back for stop.
func (l *ledger) persist(ctx context.Context, e entry) {
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
