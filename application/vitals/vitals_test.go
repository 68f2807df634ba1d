package vitals_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cachemem "agentapi/adapters/cache/memory"
	"agentapi/application/catalog"
	"agentapi/application/vitals"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// patient is an agent whose probe says what a test sets.
type patient struct {
	ports.Agent
	mu  sync.Mutex
	err error
}

func (p *patient) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *patient) Probe(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// shelf is a storage of which only Ready is asked.
type shelf struct {
	ports.Storage
	err error
}

func (s *shelf) Ready(context.Context) error { return s.err }

// changes observes health.
type changes struct {
	ports.NopObserver
	mu   sync.Mutex
	seen []agent.State
}

func (c *changes) HealthChanged(_ context.Context, _ agent.Name, h agent.Health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, h.State)
}

func open(t *testing.T, a ports.Agent, s ports.Storage, o ports.Observer) *vitals.Service {
	t.Helper()
	var co cachemem.Options
	co.SetDefaults()
	cache, err := cachemem.Open(co)
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.New(catalog.Params{Cache: cache, Now: time.Now, Entries: []catalog.Entry{
		{Name: "a", Agent: a, Models: []agent.Model{{ID: "m"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return vitals.New(vitals.Params{Storage: s, Catalog: c, Observer: o, Every: 30 * time.Second, Limit: time.Second, Now: time.Now})
}

func TestAnAgentThatCannotBeReachedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, seen := &patient{err: errors.New("refused")}, &changes{}
		s := open(t, a, &shelf{}, seen)
		state := func() agent.State { return s.Report(t.Context()).Agents[0].Health.State }
		if got := state(); got != agent.Unknown {
			t.Errorf("before the first probe it is %s", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		synctest.Wait()
		if got := state(); got != agent.Unhealthy {
			t.Errorf("after a failed probe it is %s", got)
		}
		a.set(nil)
		time.Sleep(31 * time.Second)
		if got := state(); got != agent.Healthy {
			t.Errorf("once it answers it is %s", got)
		}
		cancel()
		<-done
		if len(seen.seen) != 2 {
			t.Errorf("observed: %v", seen.seen)
		}
	})
}

func TestReadinessDependsOnTheStorageAndNotOnAgents(t *testing.T) {
	store := &shelf{}
	s := open(t, &patient{err: errors.New("refused")}, store, ports.NopObserver{})
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("with a dead agent: %v", err)
	}
	store.err = fault.New(fault.Unavailable, "away").WithCode("storage_unavailable")
	if err := s.Ready(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without storage: %v", err)
	}
	store.err = nil
	s.Drain()
	if f := fault.As(s.Ready(t.Context())); f == nil || f.Code != "shutting_down" {
		t.Errorf("while it drains: %v", f)
	}
	if r := s.Report(t.Context()); !r.Draining || r.Ready == nil || r.Storage != nil {
		t.Errorf("report: %+v", r)
	}
}
