package routing

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

// How much is known afterwards: Kept requests on the server where they ran, and for
// SharedFor on all of them those that did not go as planned.
const (
	Kept       = 2000
	SharedFor  = time.Hour
	mostUntold = 256
	tellWithin = time.Second
)

// kept is the last requests of this instance.
type kept struct {
	mu   sync.Mutex
	ring [Kept]*Trace
	next int // whose place the next one takes, which is the oldest's

	told chan agent.Decision // what other servers are yet to know; what does not fit is not told
	stop chan struct{}
	over chan struct{}
}

// Trace follows one request. A nil Trace follows nothing. It is safe for concurrent use.
type Trace struct {
	s  *Service
	mu sync.Mutex
	is agent.Decision

	candidate [1]agent.Considered // where the candidates begin
	attempt   [1]agent.Attempt    // and the attempts
}

// Follow begins to follow a request. It has the place of the oldest one, and its memory,
// too, where that has ended.
func (s *Service) Follow(d agent.Decision) *Trace {
	if s == nil {
		return nil
	}
	d.Instance = s.Instance
	k := &s.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.ring[k.next]
	if t == nil || !t.over() {
		t = &Trace{s: s}
		k.ring[k.next] = t
	}
	k.next = (k.next + 1) % Kept
	t.mu.Lock()
	defer t.mu.Unlock()
	t.is = d
	t.is.Candidates, t.is.Attempts = t.candidate[:0], t.attempt[:0]
	return t
}

// over tells whether nobody follows the request any more.
func (t *Trace) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.is.Ended
}

// find gives what is known of a request as it is now, the last one that has its id.
func (k *kept) find(request string) (agent.Decision, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range Kept {
		t := k.ring[(k.next+Kept-1-i)%Kept]
		if t == nil {
			break // there were no more
		}
		if d, ok := t.of(request); ok {
			return d, true
		}
	}
	return agent.Decision{}, false
}

// of gives the decision as it is now, where it is that of the request.
func (t *Trace) of(request string) (agent.Decision, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.is.Request != request {
		return agent.Decision{}, false
	}
	return t.copy(), true
}

// Choice notes the order in which candidates are asked, and who is not.
func (t *Trace) Choice(route agent.Route, c Choice, ill func(agent.Name) bool) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.is.Via, t.is.Strategy, t.is.Bond, t.is.Reason = route.Via, cmp.Or(route.Plan.Strategy, agent.Ordered), c.Bond, c.Reason
	t.is.Candidates = t.is.Candidates[:0]
	for _, c := range c.Candidates {
		v := agent.Eligible
		if ill(c.Agent) {
			v = agent.Unwell
		}
		t.is.Candidates = append(t.is.Candidates, agent.Considered{Candidate: c, Verdict: v})
	}
	t.is.Candidates = append(t.is.Candidates, route.Passed...)
}

// Ask notes that a candidate is asked at a moment, after a wait, and gives its place.
func (t *Trace) Ask(c agent.Candidate, at time.Time, waited time.Duration, hedge bool) int {
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.is.Attempts = append(t.is.Attempts, agent.Attempt{Candidate: c, Began: at, Result: agent.Asking, Waited: waited, Hedge: hedge})
	return len(t.is.Attempts) - 1
}

// Became notes how the attempt at a place goes by now; err is why it failed.
func (t *Trace) Became(i int, now time.Time, r agent.Result, err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.is.Attempts[i]
	a.Result, a.Took = r, now.Sub(a.Began)
	a.Kind, a.Code = class(err)
}

func class(err error) (kind, code string) {
	if err == nil {
		return "", ""
	}
	if f := fault.As(err); f != nil {
		code = f.Code
	}
	return fault.KindOf(err).String(), code
}

// Stop notes why no other is asked.
func (t *Trace) Stop(why string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.is.Stopped = why
}

// End notes how the request has ended now, and has other servers know it where that is worth it.
func (t *Trace) End(now time.Time, err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.is.Ended, t.is.Took = true, now.Sub(t.is.At)
	t.is.Kind, t.is.Code = class(err)
	if n := len(t.is.Attempts); n > 0 && t.is.Attempts[n-1].Result == agent.Answering {
		a := &t.is.Attempts[n-1]
		if a.Result, a.Took = agent.Answered, now.Sub(a.Began); err != nil {
			a.Result, a.Kind, a.Code = agent.Failed, t.is.Kind, t.is.Code
		}
	}
	if t.s.Cache != nil && (err != nil || len(t.is.Attempts) > 1) {
		select {
		case t.s.kept.told <- t.copy():
		default: // it is known here
		}
	}
}

// copy is the decision as it is now; the mutex is held.
func (t *Trace) copy() agent.Decision {
	d := t.is
	d.Candidates, d.Attempts = slices.Clone(d.Candidates), slices.Clone(d.Attempts)
	return d
}

func place(request string) string { return "decisions:" + request }

// share tells other servers, until Stop.
func (s *Service) share() {
	defer close(s.kept.over)
	for {
		select {
		case d := <-s.kept.told:
			s.tell(d)
		case <-s.kept.stop:
			return
		}
	}
}

func (s *Service) tell(d agent.Decision) {
	text, err := json.Marshal(d)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellWithin)
	defer cancel()
	_ = s.Cache.Set(ctx, place(d.Request), text, SharedFor) // it is known here, whatever becomes of it
}

// Explain gives why a request went where it went. fault.NotFound: it is not known here
// any more, or another server does not share it.
func (s *Service) Explain(ctx context.Context, request string) (agent.Decision, error) {
	if d, ok := s.kept.find(request); ok {
		for i := range d.Attempts {
			if a := &d.Attempts[i]; a.Result == agent.Asking || a.Result == agent.Answering {
				a.Took = s.Now().Sub(a.Began)
			}
		}
		return d, nil
	}
	if s.Cache != nil {
		text, ok, err := s.Cache.Get(ctx, place(request))
		var d agent.Decision
		if err == nil && ok && json.Unmarshal(text, &d) == nil {
			return d, nil
		}
	}
	return agent.Decision{}, fault.NotFoundf("request_not_found", "It is not known why this request went where it went.").
		WithHint("Each server remembers its last 2,000 requests since its start. By a shared cache, others know for an hour those that failed or were tried more than once.")
}
