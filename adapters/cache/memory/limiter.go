package memory

import (
	"context"
	"sync"
	"time"

	"agentapi/domain/quota"
	"agentapi/ports"
)

// Limiter is a ports.Limiter for a single server.
type Limiter struct {
	began time.Time // its clock is this and the time since then, which nobody can set

	mu     sync.Mutex
	rates  map[string]quota.Account
	places map[string]map[string]time.Time // until when each claim holds one
	sweep  int                             // when this many keys are there, those out of use go
}

var _ ports.Limiter = (*Limiter)(nil)

// NewLimiter makes a Limiter of which nothing is in use.
func NewLimiter() *Limiter {
	return &Limiter{began: time.Now(), rates: make(map[string]quota.Account), places: make(map[string]map[string]time.Time), sweep: leastSweep}
}

// now is the moment by a clock that is never set.
func (l *Limiter) now() time.Time { return l.began.Add(time.Since(l.began)) }

// leastSweep is how many keys are not worth looking through.
const leastSweep = 1024

// Take grants all of a claim or nothing.
func (l *Limiter) Take(ctx context.Context, c quota.Claim) (quota.Decision, error) {
	if err := ended(ctx); err != nil {
		return quota.Decision{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.now()
	now := quota.Micros(at)
	l.clean(at)
	d := quota.Decision{Refused: -1, Levels: make([]quota.Level, 0, len(c.Rates)+len(c.Places))}
	for i, r := range c.Rates {
		if _, wait := l.rates[r.Key].Spend(r.Rate, r.N, now); wait != 0 {
			d.Refuse(i, wait)
		}
	}
	for i, p := range c.Places {
		if int64(l.held(p.Key, at)) >= p.Most {
			d.Refuse(len(c.Rates)+i, quota.PlaceRetry)
		}
	}
	for _, r := range c.Rates {
		if d.Granted() {
			l.rates[r.Key] = l.rates[r.Key].Add(r.Rate, r.N, now)
		}
		d.Levels = append(d.Levels, l.rates[r.Key].Level(r.Rate, now))
	}
	for _, p := range c.Places {
		if d.Granted() {
			if l.places[p.Key] == nil {
				l.places[p.Key] = make(map[string]time.Time)
			}
			l.places[p.Key][c.ID] = at.Add(c.Lease)
		}
		d.Levels = append(d.Levels, quota.Level{Remaining: max(0, p.Most-int64(len(l.places[p.Key])))})
	}
	return d, nil
}

// held counts who holds a place; the mutex must be held.
func (l *Limiter) held(key string, at time.Time) int {
	for id, until := range l.places[key] {
		if !at.Before(until) {
			delete(l.places[key], id)
		}
	}
	if len(l.places[key]) == 0 {
		delete(l.places, key)
	}
	return len(l.places[key])
}

// clean drops what is out of use once there is twice as much as was in use.
func (l *Limiter) clean(at time.Time) {
	if len(l.rates)+len(l.places) < l.sweep {
		return
	}
	for key, a := range l.rates {
		if a.Idle(quota.Micros(at)) {
			delete(l.rates, key)
		}
	}
	for key := range l.places {
		l.held(key, at)
	}
	l.sweep = max(leastSweep, 2*(len(l.rates)+len(l.places)))
}

// Settle ends a claim.
func (l *Limiter) Settle(ctx context.Context, c quota.Claim, back ...int64) error {
	if err := ended(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := quota.Micros(l.now())
	for i, n := range back {
		if r := c.Rates[i]; n != 0 {
			l.rates[r.Key] = l.rates[r.Key].Add(r.Rate, -n, now)
		}
	}
	for _, p := range c.Places {
		delete(l.places[p.Key], c.ID)
	}
	return nil
}

// Renew has the claim hold its places for longer.
func (l *Limiter) Renew(ctx context.Context, c quota.Claim) error {
	if err := ended(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.now()
	for _, p := range c.Places {
		if until, held := l.places[p.Key][c.ID]; held && at.Before(until) {
			l.places[p.Key][c.ID] = at.Add(c.Lease)
		}
	}
	return nil
}
