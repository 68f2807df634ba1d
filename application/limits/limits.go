// Package limits lets a request begin only where every limit that holds for it has
// room: the platform's, its organisation's, its user's, its key's and its model's.
package limits

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/quota"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Params is what a Service needs.
type Params struct {
	Limiter  ports.Limiter
	Observer ports.Observer
	// Storage knows who was given limits of their own; nil: nobody was.
	Storage ports.Storage
	Allowed Allowances // at first
	// Near says that the Limiter is in this process, so that nothing is gained by doing
	// something else meanwhile.
	Near bool
}

// Allowances are what each may use who has no limits of their own; all organisations
// together the Platform's.
type Allowances struct {
	Platform, Org, User, Key quota.Limits
	Models                   map[string]quota.Limits // of all who ask for it together
}

// Service grants requests what they take. It is safe for concurrent use. Start and
// Stop bound the life of its background work.
type Service struct {
	Params
	given    given
	allowed  atomic.Pointer[Allowances]
	mu       sync.Mutex
	running  map[*Grant]struct{} // those that hold places
	end      context.CancelFunc
	settling sync.WaitGroup
	done     chan struct{}
}

// New makes a Service.
func New(p Params) *Service {
	s := &Service{Params: p, running: make(map[*Grant]struct{})}
	s.Allow(p.Allowed)
	return s
}

// Allow has other limits hold for requests that come from now on; what was used counts.
func (s *Service) Allow(a Allowances) { s.allowed.Store(&a) }

const (
	lease   = time.Minute      // for which a place stays taken where its server has died
	renewal = 20 * time.Second // between two renewals: two may fail
	within  = 2 * time.Second  // for what must not depend on the client's staying
)

// Start begins to renew what runs.
func (s *Service) Start(context.Context) error {
	ctx, end := context.WithCancel(context.Background())
	s.end, s.done = end, make(chan struct{})
	go s.renew(ctx)
	return nil
}

// Stop ends the background work.
func (s *Service) Stop(context.Context) error {
	s.end()
	<-s.done
	s.settling.Wait()
	return nil
}

func (s *Service) renew(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(renewal)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, g := range s.held() {
			limited, cancel := context.WithTimeout(ctx, within)
			if err := s.Limiter.Renew(limited, g.plan.Claim); err != nil && ctx.Err() == nil {
				s.Observer.Lost(ctx, "the place of a running request", err)
			}
			cancel()
		}
	}
}

func (s *Service) held() []*Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Grant, 0, len(s.running))
	for g := range s.running {
		all = append(all, g)
	}
	return all
}

// Grant is what a request was granted. A nil Grant takes nothing.
type Grant struct {
	s        *Service
	plan     quota.Plan
	decision quota.Decision
	ended    bool          // it is settled, or begins to be
	settled  chan struct{} // closed when it is; nil: nothing is to be waited for
}

// Take grants a request what it wants of a model, which may go by several names. id tells
// it from all others. fault.RateLimited: a limit has no room; fault.TooLong: it never has.
// The Grant says how the caller stands in either case.
func (s *Service) Take(ctx context.Context, id string, who tenancy.Principal, want quota.Want, models ...string) (*Grant, error) {
	if s == nil {
		return nil, nil
	}
	terms, err := s.terms(ctx, who)
	if err != nil {
		return nil, unknown(err)
	}
	g := &Grant{s: s, plan: terms.Plan(id, lease, want, s.ofModels(models)...)}
	if g.plan.Free() {
		return nil, nil
	}
	if g.decision, err = s.Limiter.Take(ctx, g.plan.Claim); err != nil {
		return nil, unknown(err)
	}
	if !g.decision.Granted() {
		s.Observer.Limited(ctx, g.plan.Rules[g.decision.Refused].Tier)
		return g, g.plan.Refusal(g.decision)
	}
	if len(g.plan.Claim.Places) > 0 {
		s.mu.Lock()
		s.running[g] = struct{}{}
		s.mu.Unlock()
	}
	return g, nil
}

func unknown(err error) error {
	return fault.Wrap(fault.KindOf(err), err, "Nobody can tell whether a limit is reached.").WithRetryAfter(time.Second)
}

// ofModels are the models that have limits.
func (s *Service) ofModels(names []string) (all []quota.Holder) {
	may := s.allowed.Load()
	for _, model := range names {
		if of, ok := may.Models[model]; ok {
			all = append(all, quota.Holder{Tier: quota.Model, ID: model, Limits: of})
		}
	}
	return all
}

// Settle begins to end what a request was granted, where it has used so many tokens,
// and does not wait. The first call counts.
func (g *Grant) Settle(ctx context.Context, tokens int64) {
	if g.open() {
		g.settle(ctx, g.plan.Back(tokens))
	}
}

// Undo is Settle for what has not been begun.
func (g *Grant) Undo(ctx context.Context) {
	if g.open() {
		g.settle(ctx, g.plan.Untaken())
	}
}

// open tells whether something is to be settled.
func (g *Grant) open() bool { return g != nil && g.decision.Granted() && !g.ended }

func (g *Grant) settle(ctx context.Context, back []int64) {
	g.ended = true
	g.s.mu.Lock()
	delete(g.s.running, g)
	g.s.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	if g.s.Near {
		g.giveBack(ctx, back)
		return
	}
	g.settled = make(chan struct{})
	g.s.settling.Go(func() {
		defer close(g.settled)
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		g.giveBack(ctx, back)
	})
}

func (g *Grant) giveBack(ctx context.Context, back []int64) {
	if err := g.s.Limiter.Settle(ctx, g.plan.Claim, back...); err != nil {
		g.s.Observer.Lost(ctx, "what a request gives back of its limits", err)
	}
}

// Free waits until the places of a request are free that has begun to settle, so that
// the caller finds one with the next request.
func (g *Grant) Free() {
	if g != nil && g.settled != nil && len(g.plan.Claim.Places) > 0 {
		<-g.settled
	}
}

// Standings is how a caller stands with regard to requests and to tokens; one with a
// Limit of 0 is not limited.
type Standings struct{ Requests, Tokens quota.Standing }

// Standings is how the caller stood when the request was granted or refused.
func (g *Grant) Standings() (s Standings) {
	s.Requests, _ = g.plan.Standing(quota.Requests, g.decision)
	s.Tokens, _ = g.plan.Standing(quota.Tokens, g.decision)
	return s
}
