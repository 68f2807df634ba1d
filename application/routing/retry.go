package routing

import (
	"context"
	"errors"
	"sync"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

// Retry is how often more is asked than came. The zero Retry asks no agent again, and
// fails over without a bound.
type Retry struct {
	Again   int           // how often an agent is asked again that was not reached, where there is no other
	Backoff time.Duration // the longest wait before the first time; twice as long before each that follows
	Most    time.Duration // the longest of all
	// Share bounds what is asked again, of the same agent or another, to this share of
	// the requests of the last 10 s; but Least a second are always allowed. 0: no bound.
	Share float64
	Least int
}

// Retune has another Retry hold from now on.
func (s *Service) Retune(r Retry) { s.retry.Store(&r) }

// window is how long requests are remembered, by the second.
const window = 10

// budget counts requests and what was asked again, of the last seconds.
type budget struct {
	mu     sync.Mutex
	second [window]int64 // which second a place counts
	asked  [window]int
	again  [window]int
}

// place is where a second is counted; the mutex is held.
func (b *budget) place(at time.Time) int {
	now := at.Unix()
	i := int(now % window)
	if b.second[i] != now {
		b.second[i], b.asked[i], b.again[i] = now, 0, 0
	}
	return i
}

// Count counts a request.
func (s *Service) Count() {
	if s == nil {
		return
	}
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.budget.asked[s.budget.place(s.Now())]++
}

// Allow tells whether one more may be asked for a request that has failed, and counts
// it. A storm of failures thereby makes no storm of retries.
func (s *Service) Allow() bool {
	if s == nil || s.retry.Load().Share <= 0 {
		return true
	}
	b, now := &s.budget, s.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	r, i, asked, again := s.retry.Load(), b.place(now), 0, 0
	for j := range window {
		if b.second[j] > now.Unix()-window {
			asked += b.asked[j]
			again += b.again[j]
		}
	}
	if again >= max(int(r.Share*float64(asked)), r.Least*window) {
		return false
	}
	b.again[i]++
	return true
}

// Again tells whether the same agent may be asked again after its n-th failure, and how
// long to wait before: it was not reached, so that nothing is done twice. The wait is
// drawn anew each time, so that those who failed together do not come back together; it
// is never less than what the agent asks for.
func (s *Service) Again(n int, err error) (wait time.Duration, ok bool) {
	if s == nil || !errors.Is(err, agent.ErrUnreached) {
		return 0, false
	}
	r := s.retry.Load()
	if n > r.Again {
		return 0, false
	}
	most := r.Most
	if n < 16 {
		most = min(most, r.Backoff<<(n-1))
	}
	wait = time.Duration(s.Random() * float64(most))
	if f := fault.As(err); f != nil && f.RetryAfter > wait {
		wait = f.RetryAfter
	}
	return wait, wait <= r.Most
}

// Wait waits, not longer than ctx lasts.
func Wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
