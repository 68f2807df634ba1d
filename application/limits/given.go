package limits

import (
	"context"
	"sync"
	"time"

	"agentapi/domain/quota"
	"agentapi/domain/tenancy"
)

// How long is remembered here what another server may change, how long one request may
// take to look it up while the others go by what was, and of how many.
const (
	knownFor  = 5 * time.Second
	lookFor   = 2 * time.Second
	mostKnown = 10_000
)

// given remembers which limits were given to whom.
type given struct {
	mu    sync.Mutex
	known map[caller]known
	age   int // how often all was forgotten
}

// caller is who asks, with which key.
type caller struct {
	of  tenancy.Scope
	key tenancy.KeyID
}

type known struct {
	tenancy.Allowances
	until time.Time
}

// Standard is the limits of those of a tier who were given none.
func (s *Service) Standard(t quota.Tier) quota.Limits {
	may := s.allowed.Load()
	switch t {
	case quota.Organization:
		return may.Org
	case quota.User:
		return may.User
	case quota.Key:
		return may.Key
	default:
		return may.Platform
	}
}

// Hear has the limits that were given looked up anew; what another server changes is
// known within 5 s.
func (s *Service) Hear() {
	s.given.mu.Lock()
	defer s.given.mu.Unlock()
	s.given.age++
	clear(s.given.known)
}

// own is which limits bind a caller in place of the standard ones. Where the storage is
// away, it is what was known last.
func (s *Service) own(ctx context.Context, who tenancy.Principal) (tenancy.Allowances, error) {
	if s.Storage == nil {
		return tenancy.Allowances{}, nil
	}
	c := caller{of: who.Scope()}
	if k := who.Key(); k != nil {
		c.key = k.ID
	}
	now := time.Now()
	g := &s.given
	g.mu.Lock()
	had, there := g.known[c]
	if there && now.Before(had.until) {
		g.mu.Unlock()
		return had.Allowances, nil
	}
	if there { // one asks, and the others go by what was
		g.known[c] = known{had.Allowances, now.Add(lookFor)}
	}
	age := g.age
	g.mu.Unlock()
	found, err := s.Storage.Directory().Allowances(ctx, c.of, c.key)
	if err != nil {
		if there && ctx.Err() == nil {
			return had.Allowances, nil
		}
		return found, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.age != age { // what was read may be from before the change
		return found, nil
	}
	if g.known == nil || len(g.known) >= mostKnown {
		g.known = make(map[caller]known)
	}
	g.known[c] = known{found, now.Add(knownFor)}
	return found, nil
}
