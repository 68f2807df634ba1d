// Package routing decides whom a request goes to: which candidate first, whether one
// that failed is asked again, how many may be tried again in bad times, and it tells
// afterwards why.
package routing

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"agentapi/domain/agent"
	"agentapi/ports"
)

// Params is what a Service needs.
type Params struct {
	Now      func() time.Time
	Random   func() float64 // at least 0 and less than 1
	Instance string         // this server process
	Retry    Retry          // at first
	// Cache has what went another way than planned be known to other servers; nil: it
	// is known here only.
	Cache ports.Cache
}

// Service is safe for concurrent use. Start and Stop bound the life of its background
// work. A nil Service takes candidates in their order and tries all of them.
type Service struct {
	Params
	retry  atomic.Pointer[Retry]
	paces  paces
	budget budget
	kept   kept
}

// New makes a Service.
func New(p Params) *Service {
	s := &Service{
		Params: p, paces: paces{known: make(map[course]pace)},
		kept: kept{told: make(chan agent.Decision, mostUntold), stop: make(chan struct{}), over: make(chan struct{})},
	}
	s.Retune(p.Retry)
	return s
}

// Ask is what a request says of where it wants to go.
type Ask struct {
	Org, User    string
	Conversation string // empty: it is not known
	CacheKey     string // prompt_cache_key
	Stream       bool
}

// key is what binds the request, and the key of it; empty: nothing does.
func (a *Ask) key(bonds []agent.Bond) (agent.Bond, string) {
	for _, b := range bonds {
		if k := map[agent.Bond]string{agent.Conversation: a.Conversation, agent.PromptCacheKey: a.CacheKey, agent.Caller: a.User}[b]; k != "" {
			return b, a.Org + "\x00" + string(b) + "\x00" + k
		}
	}
	return "", ""
}

// Choice is the order in which candidates are asked, and why.
type Choice struct {
	Candidates []agent.Candidate
	Bond       agent.Bond
	Reason     string
}

// explore is how often another than the fastest is chosen, to know how it is now.
const explore = 0.05

// Choose puts one of the first well candidates, which are those that are not ill, before
// all others, which stay in their order.
func (s *Service) Choose(plan *agent.Plan, all []agent.Candidate, well int, ask Ask) Choice {
	out := Choice{Candidates: all}
	first, at := all[:well], 0
	switch bond, key := ask.key(plan.Sticky); {
	case len(all) == 1:
		out.Reason = "it is the only one"
	case well == 0:
		out.Reason = "none is well, so they are asked in their order"
	case well == 1:
		out.Reason = "it is the only one that is well"
	case s == nil:
		out.Reason = inOrder
	case bond != "":
		at, out.Bond, out.Reason = plan.ByKey(first, key), bond, "it is the one for this "+string(bond)
	case plan.Strategy == agent.Weighted:
		at, out.Reason = plan.ByWeight(first, s.Random()), "it was drawn by weight"
	case plan.Strategy == agent.LeastLatency:
		at, out.Reason = s.fastest(first, ask.Stream)
	default:
		out.Reason = inOrder
	}
	if at > 0 {
		out.Candidates = append([]agent.Candidate{all[at]}, all[:at]...)
		out.Candidates = append(out.Candidates, all[at+1:]...)
	}
	return out
}

const inOrder = "it is the first in order"

// Start begins to tell other servers.
func (s *Service) Start(context.Context) error {
	go s.share()
	return nil
}

// Stop ends and joins the background work.
func (s *Service) Stop(context.Context) error {
	close(s.kept.stop)
	<-s.kept.over
	return nil
}

// paces is how soon candidates begin their answers.
type paces struct {
	mu    sync.Mutex
	known map[course]pace
}
