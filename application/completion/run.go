package completion

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"agentapi/application/catalog"
	"agentapi/application/limits"
	"agentapi/application/routing"
	"agentapi/domain/agent"
	"agentapi/domain/budget"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/session"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// run is one request on its way.
type run struct {
	Head
	s     *Service
	cmd   Command
	began time.Time
	ctx   context.Context // ends with the request's, and when an administrator ends it
	stop  context.CancelCauseFunc
	shown shown

	claim      *idempotency.Claim
	route      agent.Route
	candidates []agent.Candidate // of the route, in the order in which they are asked
	trace      *routing.Trace
	attempt    int    // the place of the one that answers, in the trace and among those that were tried
	native     string // the agent's own session id
	answer     chat.Completion
	fold       chat.Assembler
	events     []chat.Event // as they are delivered; kept only under a key

	cat   *catalog.Generation // that it goes by
	stays atomic.Int32        // who uses it

	conversation
	grant      *limits.Grant
	later      *limits.Grant // of an agent's program that the first grant was not for
	usageID    usage.ID
	hold       *budget.Reservation // what is set aside for it; nil: nothing
	unforeseen error               // why it is not known what it may cost
	lost       []usage.Record      // what attempts have used that another agent took over from
	turns      []string            // in sessions, which it has until it ends
	tried      []ports.Tried       // the candidates that were asked; Took is 0 until they end
	first      [1]ports.Tried      // where tried begins

	limited bool // what it may use was taken, or refused
	program bool // a place for a program was granted
	speaks  bool // the agent that is asked now has begun
	ended   bool
}

// prepare does all that comes before an agent: checks, the idempotency claim,
// the candidates, the conversation.
func (s *Service) prepare(ctx context.Context, cmd Command) (r *run, replay *idempotency.Result, err error) {
	in := cmd.Caller.Scope()
	cat, entered := s.Catalog.Enter(), false // whoever ends the run leaves
	defer func() {
		if !entered {
			cat.Leave()
		}
	}()
	r = &run{s: s, cmd: cmd, cat: cat, began: s.Now()}
	r.tried = r.first[:0]
	if err := cmd.Request.Validate(); err != nil {
		return nil, nil, err
	}
	if s.Refuse != nil {
		if err := s.Refuse(); err != nil {
			return nil, nil, err
		}
	}
	if err := r.foresee(ctx); err != nil {
		return nil, nil, r.s.unaffordable(ctx, err)
	}
	if cmd.Key != "" {
		r.claim = &idempotency.Claim{
			Key: idempotency.NewKey(cmd.Route, cmd.Key), Body: cmd.fingerprint(), Owner: s.Instance,
			At: r.began, Until: r.began.Add(claimFor),
		}
	}
	if out, err := r.reserve(ctx); err != nil {
		r.grant.Undo(ctx)
		return nil, nil, r.s.unaffordable(ctx, r.s.Budgets.Refused(ctx, cmd.Caller, r.hold, err))
	} else if done := out.Replay; done != nil {
		r.grant.Undo(ctx)
		if cmd.Resume != "" && done.Failure == nil && done.ID != cmd.Resume {
			return nil, nil, expired()
		}
		return nil, done, nil
	}
	if r.ctx, r.stop = ctx, cmd.Stop; cmd.Stop == nil || cmd.Request.Stream {
		r.ctx, r.stop = context.WithCancelCause(ctx)
	}
	r.shown.phase = Preparing
	r.enter()
	r.stays.Store(1)
	entered = true
	r.trace = s.Routing.Follow(agent.Decision{
		Request: cmd.RequestID, Org: in.Org(), User: in.User(), At: r.began, Model: cmd.Request.Model,
	})
	if err := r.find(r.ctx); err != nil {
		err = r.why(err)
		r.end(ctx, err)
		return nil, nil, err
	}
	return r, nil, nil
}

// find chooses the candidates and opens the conversation.
func (r *run) find(ctx context.Context) error {
	if r.cmd.Resume != "" {
		return expired() // it is not there: what would be begun is another answer
	}
	err := r.unforeseen
	if err == nil {
		err = r.resolve(ctx)
	}
	if err != nil {
		r.trace.Choice(r.route, routing.Choice{}, r.cat.Ill)
		return err
	}
	r.Route, r.Model, r.Created = r.route.Via, r.cmd.Request.Model, r.began.Truncate(time.Second)
	if err := r.converse(ctx); err != nil {
		return err
	}
	if err := r.contain(); err != nil {
		r.trace.Choice(r.route, routing.Choice{}, r.cat.Ill)
		return err
	}
	r.choose()
	if err := r.limit(ctx, r.candidates[0]); err != nil {
		return err
	}
	r.usageID = usage.NewID(r.began, r.s.entropy())
	r.Head.ID = r.usageID.Behind("chatcmpl-")
	return nil
}

func (r *run) task(c agent.Candidate) agent.Task {
	return agent.Task{
		Model: c.Model, Request: r.cmd.Request, Messages: r.transcript, Caller: r.cmd.Caller.Scope(),
		Extended: len(r.transcript) != len(r.cmd.Request.Messages),
		Session:  agent.Session{ID: r.session, Native: r.resumes(c), New: r.fresh},
	}
}

// resumes is the session of an agent's own that the request goes on with; empty: none.
func (r *run) resumes(c agent.Candidate) string {
	if r.stored != nil && r.How == session.Resumed && r.stored.Agent == c.Agent {
		return r.stored.Native
	}
	return ""
}

// take folds an event that came from the agent.
func (r *run) take(e chat.Event) error {
	if err := r.fold.Add(e); err != nil {
		return err
	}
	if !r.speaks && e.Kind.Content() {
		r.speaks = true
		r.tell(func(is *shown) { is.phase = Answering })
		r.begun()
	}
	keep := r.claim != nil && !r.cmd.Request.Stream // a stream's events are kept as they are delivered
	if e.Kind == chat.Finished {
		r.answer = r.fold.Completion()
		r.native = r.answer.Agent
		if !r.answer.Counted {
			r.answer.Usage = r.estimate(r.answer)
			if keep {
				r.record(chat.Event{Kind: chat.Used, Usage: &r.answer.Usage})
			}
		}
	}
	if keep {
		r.record(e)
	}
	return nil
}

// whole takes all of an answer.
func (r *run) whole(events ports.Events) (failed error) {
	events(func(e chat.Event, err error) bool {
		if err == nil {
			err = r.take(e)
		}
		failed = err
		return err == nil
	})
	if failed == nil {
		failed = r.complete()
	}
	return failed
}

// record keeps an event for replays.
func (r *run) record(e chat.Event) {
	e.Native = slices.Clone(e.Native)
	e.More = false
	r.events = append(r.events, e)
}

// complete fails unless the answer has ended properly.
func (r *run) complete() error { return ended(&r.fold) }

func ended(fold *chat.Assembler) error {
	if fold.Finished() {
		return nil
	}
	return fault.New(fault.Upstream, "The agent's answer ended without a finish reason.").WithCode("stream_truncated")
}

func (r *run) estimate(c chat.Completion) chat.Usage {
	return r.s.Tokens.Used(r.Served, r.transcript, c)
}

// mend ends a run in which an agent or an adapter panicked, so that its
// conversation and its key are free again.
func (r *run) mend(ctx context.Context, err *error) {
	p := recover()
	if p == nil {
		return
	}
	*err = fault.Internalf("panic in a completion: %v", p)
	if !r.ended {
		r.end(ctx, *err)
	}
}

// end closes the run, once, whatever became of it: err is nil when the answer
// was delivered to its end.
func (r *run) end(ctx context.Context, err error) {
	r.ended = true
	if err != nil {
		r.book(ctx, err)
	}
	r.concludeAll(err)
	r.unlimit(ctx)
	r.grant.Free()
	r.later.Free()
	for _, of := range slices.Backward(r.turns) {
		r.s.turns.leave(of)
	}
	r.quit()
	r.leave()
	now := r.s.Now()
	r.trace.End(now, err)
	r.s.Observer.CompletionEnded(ctx, ports.Ended{
		Request: r.cmd.RequestID, Agent: r.Agent, Model: r.Served, Attempts: r.Attempts, Stream: r.cmd.Request.Stream,
		Usage: r.answer.Usage, Took: now.Sub(r.began), Err: err, Tried: r.tried,
	})
}
