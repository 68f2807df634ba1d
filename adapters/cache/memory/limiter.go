package memory

import (
	"context"
	"math"
	"sync"
	"time"

	"agentapi/domain/quota"
	"agentapi/ports"
)

// Limiter is a ports.Limiter for a single server.
type Limiter struct {
	began time.Time // its clock is the time since then, which nobody can set

	mu     sync.Mutex
	rates  map[string]*quota.Account
	places map[string]*places
	sweep  int // when this many keys are there, those out of use go
}

// places are those that claims hold under one key.
type places struct {
	until map[string]time.Duration // by the limiter's clock, of each claim
	first time.Duration            // before which none is free again by itself
}

var _ ports.Limiter = (*Limiter)(nil)

// NewLimiter makes a Limiter of which nothing is in use.
func NewLimiter() *Limiter {
	return &Limiter{began: time.Now(), rates: make(map[string]*quota.Account), places: make(map[string]*places), sweep: leastSweep}
}

// micros is a moment of the limiter's clock as accounts count it.
func (l *Limiter) micros(at time.Duration) float64 { return quota.Micros(l.began.Add(at)) }

// leastSweep is how many keys are not worth looking through.
const leastSweep = 1024

// Take grants all of a claim or nothing.
func (l *Limiter) Take(ctx context.Context, c quota.Claim) (quota.Decision, error) {
	if err := ended(ctx); err != nil {
		return quota.Decision{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Since(l.began)
	now := l.micros(at)
	l.clean(at)
	d := quota.Decision{Refused: -1, Levels: make([]quota.Level, 0, len(c.Rates)+len(c.Places))}
	for i, r := range c.Rates {
		if _, wait := l.account(r.Key).Spend(r.Rate, r.N, now); wait != 0 {
			d.Refuse(i, wait)
		}
	}
	for i, p := range c.Places {
		if int64(l.held(p.Key, at)) >= p.Most {
			d.Refuse(len(c.Rates)+i, quota.PlaceRetry)
		}
	}
	for _, r := range c.Rates {
		a := l.account(r.Key)
		if d.Granted() {
			*a = a.Add(r.Rate, r.N, now)
		}
		d.Levels = append(d.Levels, a.Level(r.Rate, now))
	}
	for _, p := range c.Places {
		if d.Granted() {
			l.hold(p.Key, c.ID, at+c.Lease)
		}
		d.Levels = append(d.Levels, quota.Level{Remaining: max(0, p.Most-int64(l.held(p.Key, at)))})
	}
	return d, nil
}

// account is that of a key; the mutex must be held, here and below.
func (l *Limiter) account(key string) *quota.Account {
	a := l.rates[key]
	if a == nil {
		a = new(quota.Account)
		l.rates[key] = a
	}
	return a
}

// hold has a claim hold a place until then.
func (l *Limiter) hold(key, claim string, until time.Duration) {
	p := l.places[key]
	if p == nil {
		p = &places{until: make(map[string]time.Duration), first: until}
		l.places[key] = p
	}
	p.until[claim], p.first = until, min(p.first, until)
}

// held counts who holds a place.
func (l *Limiter) held(key string, at time.Duration) int {
	p := l.places[key]
	if p == nil {
		return 0
	}
	if at >= p.first {
		p.first = math.MaxInt64
		for claim, until := range p.until {
			if until <= at {
				delete(p.until, claim)
			} else {
				p.first = min(p.first, until)
			}
		}
	}
	return len(p.until)
}

// clean drops what is out of use once there is twice as much as was in use.
func (l *Limiter) clean(at time.Duration) {
	if len(l.rates)+len(l.places) < l.sweep {
		return
	}
	now := l.micros(at)
	for key, a := range l.rates {
		if a.Idle(now) {
			delete(l.rates, key)
		}
	}
	for key := range l.places {
		if l.held(key, at) == 0 {
			delete(l.places, key)
		}
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
	now := l.micros(time.Since(l.began))
	for i, n := range back {
		if r := &c.Rates[i]; n != 0 {
			a := l.account(r.Key)
			*a = a.Add(r.Rate, -n, now)
		}
	}
	for _, p := range c.Places {
		if all := l.places[p.Key]; all != nil {
			delete(all.until, c.ID)
		}
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
	at := time.Since(l.began)
	for _, p := range c.Places {
		if l.held(p.Key, at) == 0 {
			continue
		}
		if _, holds := l.places[p.Key].until[c.ID]; holds {
			l.hold(p.Key, c.ID, at+c.Lease)
		}
	}
	return nil
}
