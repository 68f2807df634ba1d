// Package share goes on with limits while what all servers share is away: each server
// then keeps its own part of them.
package share

import (
	"context"
	"sync"
	"sync/atomic"

	"agentapi/domain/fault"
	"agentapi/domain/quota"
	"agentapi/ports"
)

// Params is what a Limiter works with.
type Params struct {
	Shared    ports.Limiter
	Own       ports.Limiter // which is always there
	Instances int           // how many servers share the limits, at least 1
	// Changed is told when the shared limiter has gone and when it is back.
	Changed func(away bool, err error)
}

// Limiter is a ports.Limiter that never fails but for contexts that end. A limit may
// be exceeded when the shared one goes or comes back, by no more than itself once.
type Limiter struct {
	p    Params
	away atomic.Bool
	own  sync.Map // the ids of claims that Own granted
}

var _ ports.Limiter = (*Limiter)(nil)

// New makes a Limiter.
func New(p Params) *Limiter { return &Limiter{p: p} }

// seen notes whether the shared limiter is there.
func (l *Limiter) seen(err error) (gone bool) {
	gone = fault.Is(err, fault.Unavailable)
	if (gone || err == nil) && l.away.Swap(gone) != gone {
		l.p.Changed(gone, err)
	}
	return gone
}

// Take grants all of a claim or nothing.
func (l *Limiter) Take(ctx context.Context, c quota.Claim) (quota.Decision, error) {
	d, err := l.p.Shared.Take(ctx, c)
	if !l.seen(err) {
		return d, err
	}
	if d, err = l.p.Own.Take(ctx, l.part(c)); err == nil && d.Granted() {
		l.own.Store(c.ID, nil)
	}
	return d, err
}

// part is a claim of this server's part of the limits. No part is nothing.
func (l *Limiter) part(c quota.Claim) quota.Claim {
	out := quota.Claim{ID: c.ID, Lease: c.Lease}
	n := int64(l.p.Instances)
	for _, r := range c.Rates {
		r.Limit = max(1, r.Limit/n)
		out.Rates = append(out.Rates, r)
	}
	for _, p := range c.Places {
		p.Most = max(1, p.Most/n)
		out.Places = append(out.Places, p)
	}
	return out
}

// Settle ends a claim where it was granted.
func (l *Limiter) Settle(ctx context.Context, c quota.Claim, back ...int64) error {
	if _, own := l.own.LoadAndDelete(c.ID); own {
		return l.p.Own.Settle(ctx, l.part(c), back...)
	}
	if err := l.p.Shared.Settle(ctx, c, back...); !l.seen(err) {
		return err
	}
	// There its lease ends by itself, and what it took comes back in its time.
	return l.p.Own.Settle(ctx, quota.Claim{ID: c.ID})
}

// Renew has the claim hold its places for longer.
func (l *Limiter) Renew(ctx context.Context, c quota.Claim) error {
	if _, own := l.own.Load(c.ID); own {
		return l.p.Own.Renew(ctx, l.part(c))
	}
	if err := l.p.Shared.Renew(ctx, c); !l.seen(err) {
		return err
	}
	return l.p.Own.Renew(ctx, quota.Claim{ID: c.ID})
}
