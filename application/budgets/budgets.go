// Package budgets tells, for a request that is about to run, what it may cost and
// whether a budget has room for that.
package budgets

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"agentapi/application/tokens"
	"agentapi/domain/agent"
	"agentapi/domain/budget"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/price"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Params is what a Service works with.
type Params struct {
	Storage ports.Storage
	Prices  *price.List // at first
	// Answer is how many tokens an answer is taken to have whose request bounds it not.
	Answer int
	// Hold is how long money is set aside for a request at most: longer than any runs.
	Hold time.Duration
	Now  func() time.Time
	// Random fills with entropy.
	Random   func([]byte)
	Bulletin ports.Bulletin
	// Tokens counts prompts; nil: they are estimated.
	Tokens *tokens.Counter
}

// Topic is what the bulletin calls changes of budgets.
const Topic = "budgets"

// How long is remembered here what another server may change while the bulletin cannot
// be reached: that an organisation has no budget, and how one stands that had no room.
const (
	knownFor  = 5 * time.Second
	lookAfter = 4 * time.Second // then one request looks, and the others go by what was
	spentFor  = time.Second
	mostKnown = 10_000
)

// Service is safe for concurrent use.
type Service struct {
	Params
	prices atomic.Pointer[price.List]

	mu    sync.Mutex
	age   int // how often all was forgotten
	known map[tenancy.OrgID]known
	spent map[spender]refusal
}

// known is whether an organisation has a budget.
type known struct {
	any   bool
	look  time.Time // when it is asked anew
	until time.Time
}

// spender is who has been refused, with which key.
type spender struct {
	org  tenancy.OrgID
	user tenancy.UserID
	key  tenancy.KeyID
}

// refusal is a budget that had no room.
type refusal struct {
	state budget.State
	until time.Time
}

// New makes a Service.
func New(p Params) *Service {
	s := &Service{Params: p, known: make(map[tenancy.OrgID]known), spent: make(map[spender]refusal)}
	s.Reprice(p.Prices)
	return s
}

// Reprice has other prices hold for answers that end from now on.
func (s *Service) Reprice(l *price.List) { s.prices.Store(l) }

// Forget has budgets looked up anew, since one has changed, and tells the other servers.
// Where they cannot be told they know within 5 s that there is a first one, and at once
// of all else.
func (s *Service) Forget(ctx context.Context) {
	s.Hear()
	s.Bulletin.Publish(context.WithoutCancel(ctx), Topic) // whether or not the client stays
}

// Hear has budgets looked up anew, since one may have changed.
func (s *Service) Hear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age++
	clear(s.known)
	clear(s.spent)
}

// Any tells whether an organisation has a budget. Where it has none, that is known
// here, and nothing is asked.
func (s *Service) Any(ctx context.Context, org tenancy.OrgID) (bool, error) {
	if s == nil {
		return false, nil
	}
	now := s.Now()
	s.mu.Lock()
	k := s.known[org]
	holds, age := now.Before(k.until), s.age
	if now.Before(k.look) {
		s.mu.Unlock()
		return k.any, nil
	}
	if holds { // one asks, and the others go by what is known
		s.known[org] = known{k.any, k.until, k.until}
	}
	s.mu.Unlock()
	any, err := s.Storage.Budgets().Any(ctx, tenancy.RealmOf(org))
	if err != nil {
		if holds {
			return k.any, nil
		}
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.age != age {
		return any, nil // it may have changed meanwhile
	}
	if len(s.known) >= mostKnown {
		clear(s.known)
	}
	s.known[org] = known{any, now.Add(lookAfter), now.Add(knownFor)}
	return any, nil
}

// Cost is what the tokens of an answer cost, at the prices of now.
func (s *Service) Cost(by agent.Candidate, u chat.Usage) price.Micro {
	if s == nil {
		return 0
	}
	return s.prices.Load().Of(by).Cost(u)
}

// For is the reservation for a request: what its answer costs at most, whichever of the
// candidates gives it. fault.QuotaExhausted: it is known already that there is no room.
func (s *Service) For(who tenancy.Principal, candidates []agent.Candidate, transcript []chat.Message, r *chat.Request) (*budget.Reservation, error) {
	now := s.Now()
	var random [10]byte
	s.Random(random[:])
	out := &budget.Reservation{
		ID: budget.NewReservationID(now, random), Key: keyOf(who), At: now, Expires: now.Add(s.Hold),
		Amount: s.prices.Load().AtMost(candidates, s.prompt(candidates, transcript, r.Tools), s.Bound(r)),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	had, there := s.spent[spenderOf(who)]
	if there && now.Before(had.until) && had.state.Limit < had.state.Spent.Plus(out.Amount) {
		return nil, budget.Spent(had.state, now)
	}
	return out, nil
}

// Bound is how many tokens money is set aside for of a request's answer.
func (s *Service) Bound(r *chat.Request) int {
	answer := r.MaxTokens
	if answer == 0 {
		answer = s.Answer
	}
	return answer * max(1, r.N)
}

// prompt is how many tokens the candidates' models make at most of what they are told.
func (s *Service) prompt(candidates []agent.Candidate, transcript []chat.Message, tools []chat.ToolSpec) int {
	n := 0
	counted := make(map[string]bool)
	for _, c := range candidates {
		if !counted[c.Model] {
			counted[c.Model] = true
			n = max(n, s.Tokens.Prompt(c.Model, transcript, tools))
		}
	}
	return n
}

// Refused says which budget had no room for a reservation that was refused with err; any
// other err is given back as it is.
func (s *Service) Refused(ctx context.Context, who tenancy.Principal, r *budget.Reservation, err error) error {
	if r == nil || !fault.Is(err, fault.QuotaExhausted) {
		return err
	}
	s.mu.Lock()
	age := s.age
	s.mu.Unlock()
	bounding, failed := s.Storage.Budgets().Bounding(ctx, who.Scope(), r.Key, r.At)
	if failed != nil || len(bounding) == 0 {
		return err
	}
	least := bounding[0]
	for _, b := range bounding[1:] {
		if b.Left() < least.Left() {
			least = b
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.spent) >= mostKnown {
		clear(s.spent)
	}
	if s.age == age {
		s.spent[spenderOf(who)] = refusal{least, s.Now().Add(spentFor)}
	}
	return budget.Spent(least, r.At)
}

func keyOf(who tenancy.Principal) tenancy.KeyID {
	if k := who.Key(); k != nil {
		return k.ID
	}
	return tenancy.KeyID{}
}

func spenderOf(who tenancy.Principal) spender { return spender{who.Org(), who.User(), keyOf(who)} }
