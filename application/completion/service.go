package completion

import (
	"context"
	"iter"
	"sync"
	"time"

	"agentapi/application/budgets"
	"agentapi/application/catalog"
	"agentapi/application/limits"
	"agentapi/application/routing"
	"agentapi/application/tokens"
	"agentapi/application/trail"
	"agentapi/ports"
)

// Params is what a Service needs.
type Params struct {
	Catalog  *catalog.Current
	Storage  ports.Storage
	Near     bool // the Storage is in this process, so that a commit takes no time that would have to be bounded
	Observer ports.Observer
	Now      func() time.Time
	Random   func([]byte) // fills with entropy; crypto/rand's Read cannot fail
	Instance string       // this server process, as the owner of idempotency claims
	// Retries remembers what OpenAI's SDKs have sent, so that what they send again
	// without a key gets the answer of the attempt before it; nil: it is run again.
	Retries ports.Cache
	Audit   *trail.Recorder // nil: nothing is recorded
	Limits  *limits.Service // nil: nothing is limited
	// Linger is how long a stream with the client's Idempotency-Key runs on when nobody
	// listens any more.
	Linger time.Duration
	// Tapes lets other servers go on with such a stream; nil: none can.
	Tapes *Tapes
	// Refuse tells why nothing is begun now; nil: everything may be.
	Refuse func() error
	// Budgets says what answers cost and sets money aside for them; nil: they are free.
	Budgets *budgets.Service
	// Routing chooses among candidates, bounds what is tried again and remembers why;
	// nil: all are tried in their order.
	Routing *routing.Service
	// Tokens counts what agents do not report and what is near a bound; nil: all is
	// estimated.
	Tokens *tokens.Counter
}

// Service gives completions. It is safe for concurrent use. Start and Stop
// bound the life of its background work.
type Service struct {
	Params
	turns   *turnstile
	late    *ledger
	streams *streams
	live    live
	chance  chance
	outrun  sync.WaitGroup // agents that another was faster than, until they have ended
}

// New makes a Service.
func New(p Params) *Service {
	return &Service{
		Params: p, turns: newTurnstile(), late: newLedger(p), streams: newStreams(),
		live: live{all: map[*run]struct{}{}, guests: map[*guest]struct{}{}},
	}
}

// Start begins to book what could not be booked at once.
func (s *Service) Start(context.Context) error {
	s.late.start()
	return nil
}

// Stop books what is left, until ctx ends, and joins the background work.
func (s *Service) Stop(ctx context.Context) error {
	s.streams.stop()
	s.outrun.Wait()
	return s.late.stop(ctx)
}

// claimFor is how long a claim outlives its owner's death at most. It must be
// longer than any request runs: then another would run beside it.
const claimFor = 4 * time.Hour

// Complete returns when the answer is complete and stored. While nothing was
// delivered any failure may be mended by another agent, so also one in the
// middle of an answer.
func (s *Service) Complete(ctx context.Context, cmd Command) (_ *Whole, err error) {
	cmd.Key = s.key(ctx, &cmd)
	r, replay, err := s.prepare(ctx, cmd)
	if err != nil {
		return nil, err
	}
	if replay != nil {
		return replayWhole(replay)
	}
	ctx = r.ctx
	defer r.mend(ctx, &err)
	err = r.each(ctx, r.whole)
	if err == nil {
		err = r.settle(ctx)
	}
	err = r.why(err)
	r.end(ctx, err)
	if err != nil {
		return nil, err
	}
	return &Whole{Head: r.Head, Completion: r.answer}, nil
}

// Begin returns when the first content event of a streaming answer is there, or
// when no candidate could give one: until then a failing agent is replaced
// unseen. ctx must last as long as the reply; when it ends, so does the agent. The
// request is the service's from then on.
// A request with an Idempotency-Key that runs on this instance already joins the
// running answer: it gets all of it, from the first event on, and the agent ends
// when the last of those who listen has left, or Linger later where the key is the
// client's own. One that is to be resumed and is not there any more is fault.Gone.
func (s *Service) Begin(ctx context.Context, cmd Command) (*Reply, error) {
	linger := s.Linger
	if cmd.Key == "" {
		linger = 0 // nobody can ask for it again
	}
	if cmd.Key = s.key(ctx, &cmd); cmd.Key != "" && cmd.Request.Stream {
		return s.join(ctx, cmd, linger)
	}
	return s.begin(ctx, cmd)
}

// begin is Begin for one caller alone.
func (s *Service) begin(ctx context.Context, cmd Command) (_ *Reply, err error) {
	r, replay, err := s.prepare(ctx, cmd)
	if err != nil {
		return nil, err
	}
	if replay != nil {
		return replayStream(replay)
	}
	ctx = r.ctx
	defer r.mend(ctx, &err)
	reply := &Reply{run: r, ctx: ctx}
	err = r.each(ctx, func(events ports.Events) error {
		next, stop := iter.Pull2(events)
		for {
			e, err, ok := next()
			if !ok {
				err = r.complete()
			}
			if err == nil {
				err = r.take(e)
			}
			if err != nil {
				stop()
				return err
			}
			if e.Kind.Content() {
				reply.first, reply.next, reply.stop = e, next, stop
				return nil
			}
		}
	})
	if err != nil {
		err = r.why(err)
		r.end(ctx, err)
		return nil, err
	}
	cmd.Request.Raw = nil // no other agent will be asked: it need not be kept as long as the stream
	reply.Head, reply.hasFirst = r.Head, true
	s.Observer.FirstEvent(ctx, r.Agent, s.Now().Sub(r.began))
	return reply, nil
}

// chance is entropy that is drawn ahead: a little of it costs as much as more.
type chance struct {
	mu    sync.Mutex
	drawn [640]byte
	used  int
}

func (s *Service) entropy() (b [10]byte) {
	c := &s.chance
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used %= len(c.drawn); c.used == 0 {
		s.Random(c.drawn[:])
	}
	c.used += copy(b[:], c.drawn[c.used:])
	return b
}
