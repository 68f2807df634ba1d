// Package guard keeps an agent that is ill from making others so: it bounds how
// many answers run at once and how long they may be silent, and leaves a model
// alone that keeps failing.
package guard

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Policy says what is allowed. A zero duration means without a bound, and so
// does Concurrent; Failures of zero means no breaker.
type Policy struct {
	Concurrent int           // answers at once
	Queue      time.Duration // how long one may wait for its place
	FirstEvent time.Duration // until the first content event
	Idle       time.Duration // between two events
	Total      time.Duration // of the whole answer

	Failures int           // of one model
	Within   time.Duration // this time open its breaker
	Open     time.Duration // for this long; then one request tries
}

// Guard is a ports.Agent around another.
type Guard struct {
	ports.Agent
	name   agent.Name
	p      Policy
	places bulkhead.Bulkhead[any] // nil: without a bound

	told func(error) // nil: nobody

	mu       sync.Mutex
	breakers map[string]circuitbreaker.CircuitBreaker[any]

	watches sync.Pool // of *watch
}

var _ ports.Guarded = (*Guard)(nil)

// maxBreakers bounds the breakers of one agent, whose model names may be the
// callers' own; beyond it models share one.
const maxBreakers = 1000

// New puts a guard around inner.
func New(name agent.Name, inner ports.Agent, p Policy) *Guard {
	g := &Guard{Agent: inner, name: name, p: p, breakers: make(map[string]circuitbreaker.CircuitBreaker[any])}
	if p.Concurrent > 0 {
		g.places = bulkhead.New[any](uint(p.Concurrent))
	}
	return g
}

// Unwrap gives the agent that is guarded.
func (g *Guard) Unwrap() ports.Agent { return g.Agent }

// breaker gives the model's breaker, or nil where there is none.
func (g *Guard) breaker(model string) circuitbreaker.CircuitBreaker[any] {
	if g.p.Failures <= 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.breakers[model]
	if b == nil && len(g.breakers) >= maxBreakers {
		model = ""
		b = g.breakers[model]
	}
	if b == nil {
		b = circuitbreaker.NewBuilder[any]().WithFailureThresholdPeriod(uint(g.p.Failures), g.p.Within).
			WithDelay(g.p.Open).WithSuccessThreshold(1).Build()
		g.breakers[model] = b
	}
	return b
}

// Run answers the task within the policy. Besides what the agent itself fails
// with: fault.Unavailable with code agent_unavailable (its breaker is open) or
// agent_overloaded (no place became free), fault.Timeout with upstream_timeout.
func (g *Guard) Run(ctx context.Context, task agent.Task) ports.Events {
	return func(yield func(chat.Event, error) bool) {
		breaker := g.breaker(task.Model)
		if breaker != nil && !breaker.TryAcquirePermit() {
			yield(chat.Event{}, fault.New(fault.Unavailable, "The agent %s has failed too often and is left alone for a while.", g.name).
				WithCode("agent_unavailable").WithCause(agent.ErrLeftAlone).WithRetryAfter(max(time.Second, breaker.RemainingDelay())))
			return
		}
		if err := g.enter(ctx); err != nil {
			record(breaker, err, false)
			yield(chat.Event{}, err)
			return
		}
		if g.places != nil {
			defer g.places.ReleasePermit()
		}
		var (
			r      = &run{guard: g, yield: yield}
			err    error
			panics = true
		)
		defer func() {
			if panics {
				err = fault.Internalf("the agent panicked")
			}
			record(breaker, err, r.began.Load())
			g.tell(err)
		}()
		err = r.answer(ctx, task)
		panics = false
	}
}

// enter waits for a place.
func (g *Guard) enter(ctx context.Context) error {
	if g.places == nil {
		return nil
	}
	err := g.places.AcquirePermitWithMaxWait(ctx, g.p.Queue)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bulkhead.ErrFull):
		return fault.New(fault.Unavailable, "The agent %s is busy.", g.name).WithCode("agent_overloaded").WithRetryAfter(time.Second)
	default:
		return ended(ctx)
	}
}

// ended is the fault of a context that has ended.
func ended(ctx context.Context) error {
	if f := fault.As(context.Cause(ctx)); f != nil {
		return f
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.Wrap(fault.Timeout, context.Cause(ctx), "The time for the answer was up.")
	}
	return fault.Wrap(fault.Canceled, context.Cause(ctx), "The request was cancelled.")
}

// record tells the breaker how a run ended. What the caller did says nothing of
// the agent: only where a trial run was left before it began, the next one tries.
func record(b circuitbreaker.CircuitBreaker[any], err error, began bool) {
	if b == nil {
		return
	}
	switch {
	case err == nil:
		b.RecordSuccess()
	case agent.AtFault(err):
		b.RecordFailure()
	case !b.IsHalfOpen():
	case began:
		b.RecordSuccess()
	default:
		b.RecordFailure()
	}
}

// run is one answer under watch.
type run struct {
	guard *Guard
	yield func(chat.Event, error) bool

	ctx      context.Context // of the agent
	finished bool            // its answer
	err      error           // with which it failed

	start  time.Time
	began  atomic.Bool  // content has come
	since  atomic.Int64 // when the agent was asked for its next event, in nanoseconds after start; -1: the consumer has the turn
	cancel context.CancelCauseFunc
}

// answer runs the agent and returns how it ended: nil when it finished, or when
// the consumer left an answer that was well.
func (r *run) answer(ctx context.Context, task agent.Task) error {
	ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	r.start = time.Now()
	if wait := r.left(0); wait > 0 {
		defer r.guard.unwatch(r.guard.watch(r, r.next(wait)))
	}
	r.ctx = ctx
	r.guard.Agent.Run(ctx, task)(r.pass)
	if r.err == nil && !r.finished {
		return fault.New(fault.Canceled, "The consumer left.")
	}
	return r.err
}

// pass gives an event to the consumer.
func (r *run) pass(e chat.Event, err error) bool {
	if err != nil {
		if f := fault.As(context.Cause(r.ctx)); f != nil && f.Code == tooSlow {
			err = f // the agent was ended by us; it may call that a cancellation
		}
		r.err = err
		r.yield(chat.Event{}, err)
		return false
	}
	r.since.Store(-1)
	if e.Kind.Content() {
		r.began.Store(true)
	}
	r.finished = r.finished || e.Kind == chat.Finished
	if !r.yield(e, nil) {
		return false
	}
	r.since.Store(int64(time.Since(r.start)))
	return true
}

// watch looks at a run now and then, and at others when that has ended.
type watch struct {
	run   atomic.Pointer[run] // nil: it has ended
	timer *time.Timer         // calls look
}

// watch has a run looked at after a while.
func (g *Guard) watch(r *run, after time.Duration) *watch {
	w, _ := g.watches.Get().(*watch)
	if w == nil {
		w = new(watch)
		w.timer = time.AfterFunc(math.MaxInt64, w.look)
	}
	w.run.Store(r)
	w.timer.Reset(after)
	return w
}

// unwatch has the run looked at no more. A watch that is at work just now is left alone: it
// would take what it has found for true of the next run.
func (g *Guard) unwatch(w *watch) {
	w.run.Store(nil)
	if w.timer.Stop() {
		g.watches.Put(w)
	}
}

func (w *watch) look() {
	if r := w.run.Load(); r != nil {
		if wait := r.look(); wait > 0 {
			w.timer.Reset(wait)
		}
	}
}

// tooSlow is the code of our own time-outs.
const tooSlow = "upstream_timeout"

// left tells how long the agent may still take, as seen at a time after the
// start; 0: without a bound. A consumer that has the turn costs it nothing but
// the total time.
func (r *run) left(at time.Duration) time.Duration {
	const never = time.Duration(math.MaxInt64)
	left := never
	p := &r.guard.p
	since := time.Duration(r.since.Load())
	switch {
	case !r.began.Load() && p.FirstEvent > 0:
		left = p.FirstEvent - at
	case r.began.Load() && p.Idle > 0 && since >= 0:
		left = since + p.Idle - at
	case p.Idle > 0:
		left = p.Idle
	}
	if p.Total > 0 {
		left = min(left, p.Total-at)
	}
	switch {
	case left == never:
		return 0
	case left > 0:
		return left
	default:
		return -1
	}
}

// next is when to look again. An agent that begins meanwhile has only Idle from
// then on.
func (r *run) next(left time.Duration) time.Duration {
	if idle := r.guard.p.Idle; idle > 0 {
		return min(left, idle)
	}
	return left
}

// look ends the run when its time is up, and else says when to look again. It looks at
// the clock now and then, so that an event costs no timer.
func (r *run) look() time.Duration {
	at := time.Since(r.start)
	if wait := r.left(at); wait > 0 {
		return r.next(wait)
	}
	what := "The agent %s took too long to begin its answer."
	if r.began.Load() {
		what = "The agent %s fell silent in the middle of its answer."
	}
	if p := r.guard.p; p.Total > 0 && at >= p.Total {
		what = "The agent %s took too long for its answer."
	}
	r.cancel(fault.New(fault.Timeout, what, r.guard.name).WithCode(tooSlow))
	return 0
}
