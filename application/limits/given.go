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
	may   *Allowances // of all who were given none
	terms *quota.Terms
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

// terms are the limits that bind a caller: those that they were given in place of the
// standard ones. Where the storage is away, it is what was known last.
func (s *Service) terms(ctx context.Context, who tenancy.Principal) (*quota.Terms, error) {
	may := s.allowed.Load()
	if s.Storage == nil {
		return may.terms(who, tenancy.Allowances{}), nil
	}
	c := caller{of: who.Scope()}
	if k := who.Key(); k != nil {
		c.key = k.ID
	}
	now := time.Now()
	g := &s.given
	g.mu.Lock()
	had, there := g.known[c]
	fresh := there && now.Before(had.until)
	if there && (!fresh || had.may != may) {
		if had.may != may {
			had.may, had.terms = may, may.terms(who, had.Allowances)
		}
		if !fresh { // one asks, and the others go by what was
			had.until = now.Add(lookFor)
		}
		g.known[c] = had
	}
	age := g.age
	g.mu.Unlock()
	if fresh {
		return had.terms, nil
	}
	found, err := s.Storage.Directory().Allowances(ctx, c.of, c.key)
	if err != nil {
		if there && ctx.Err() == nil {
			return had.terms, nil
		}
		return nil, err
	}
	terms := may.terms(who, found)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.age != age { // what was read may be from before the change
		return terms, nil
	}
	if g.known == nil || len(g.known) >= mostKnown {
		g.known = make(map[caller]known)
	}
	g.known[c] = known{found, now.Add(knownFor), may, terms}
	return terms, nil
}

// terms are the limits of all whose limits hold for a caller.
func (may *Allowances) terms(who tenancy.Principal, own tenancy.Allowances) *quota.Terms {
	org, user := who.Org().String(), who.User().String()
	all := []quota.Holder{
		{Tier: quota.Platform, Limits: may.Platform},
		{Tier: quota.Organization, ID: org, Limits: may.Org.Instead(own.Org)},
		{Tier: quota.User, ID: org + "/" + user, Limits: may.User.Instead(own.User)},
	}
	if k := who.Key(); k != nil {
		all = append(all, quota.Holder{Tier: quota.Key, ID: k.ID.String(), Limits: may.Key.Instead(own.Key)})
	}
	return quota.NewTerms(all...)
}
