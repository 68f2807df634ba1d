package catalog

import (
	"context"
	"sync"

	"agentapi/domain/tenancy"
)

// Current is the catalog that holds now; another may take its place while requests
// run, which end with the one that they began with. It is safe for concurrent use.
type Current struct {
	mu  sync.Mutex
	now *Generation
}

// Generation is a catalog and how many requests go by it.
type Generation struct {
	*Service
	of       *Current
	running  int
	replaced bool
	idle     chan struct{} // closed when it is replaced and nothing goes by it any more
}

// Begin makes a Current of its first catalog.
func Begin(s *Service) *Current {
	c := &Current{}
	c.now = c.next(s)
	return c
}

func (c *Current) next(s *Service) *Generation {
	return &Generation{Service: s, of: c, idle: make(chan struct{})}
}

// Now gives the catalog that holds at this moment.
func (c *Current) Now() *Service {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.Service
}

// Enter gives the catalog that a request goes by until it calls Leave, once.
func (c *Current) Enter() *Generation {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.running++
	return c.now
}

// Leave ends what Enter has begun.
func (g *Generation) Leave() {
	g.of.mu.Lock()
	defer g.of.mu.Unlock()
	if g.running--; g.replaced && g.running == 0 {
		close(g.idle)
	}
}

// Replace has requests that come from now on go by s, where the same agents are out of
// service and avoided. idle is closed when no request goes by the old one any more.
func (c *Current) Replace(s *Service) (idle <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.now
	s.off.Store(old.off.Load())
	s.ill.Store(old.ill.Load())
	c.now = c.next(s)
	if old.replaced = true; old.running == 0 {
		close(old.idle)
	}
	return old.idle
}

// Models is that of the catalog that holds now.
func (c *Current) Models(ctx context.Context, who tenancy.Principal) ([]Listed, error) {
	return c.Now().Models(ctx, who)
}

// Model is that of the catalog that holds now.
func (c *Current) Model(ctx context.Context, who tenancy.Principal, name string) (Listed, error) {
	return c.Now().Model(ctx, who, name)
}

// Learn takes over what another catalog's agents said of their models, of those that
// are its own, too.
func (s *Service) Learn(from *Service) {
	for name, e := range s.entries {
		if old := from.entries[name]; old != nil && old.Agent == e.Agent {
			e.said.Store(old.said.Load())
		}
	}
}
