package vitals_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cachemem "agentapi/adapters/cache/memory"
	"agentapi/adapters/storage/memory"
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

// shelf is a storage that says what a test sets.
type shelf struct {
	ports.Storage
	err error
}

func (s *shelf) Ready(context.Context) error { return s.err }

func (s *shelf) Agents() ports.Agents { return &agents{s.Storage.Agents(), s} }

// agents counts what it is told, and takes nothing while the shelf has an error.
type agents struct {
	ports.Agents
	s *shelf
}

func (a *agents) Mirror(ctx context.Context, all []agent.Described) error {
	if a.s.err != nil {
		return a.s.err
	}
	return a.Agents.Mirror(ctx, all)
}

func (a *agents) RecordHealth(ctx context.Context, name agent.Name, h agent.Health) error {
	if a.s.err != nil {
		return a.s.err
	}
	return a.Agents.RecordHealth(ctx, name, h)
}

func storage(t *testing.T) *shelf {
	t.Helper()
	var o memory.Options
	o.SetDefaults()
	s, err := memory.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{Storage: s}
}

// changes observes health.
type changes struct {
	ports.NopObserver
	mu   sync.Mutex
	seen []agent.State
	lost int
}

func (c *changes) Lost(context.Context, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost++
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
	return vitals.New(vitals.Params{Storage: s, Catalog: c, Observer: o, Every: 30 * time.Second, Limit: time.Second, Now: time.Now,
		Configured: []agent.Described{{Name: "a", Type: "demo", Config: "{}"}}})
}

func TestAnAgentThatCannotBeReachedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, seen := &patient{err: errors.New("refused")}, &changes{}
		s := open(t, a, storage(t), seen)
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
	store := storage(t)
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

func TestTheStorageIsToldHowTheAgentsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, seen, store := &patient{}, &changes{}, storage(t)
		store.err = fault.New(fault.Unavailable, "away")
		s := open(t, a, store, seen)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		time.Sleep(91 * time.Second)
		if seen.lost != 1 {
			t.Errorf("while the storage is away it is said %d times", seen.lost)
		}
		store.err = nil
		health := func() agent.Health {
			t.Helper()
			all, err := store.Storage.Agents().Stored(t.Context())
			if err != nil || len(all) != 1 || !all[0].Enabled {
				t.Fatalf("stored are %+v, %v", all, err)
			}
			return all[0].Health
		}
		time.Sleep(30 * time.Second)
		first := health()
		if first.State != agent.Healthy {
			t.Errorf("once the storage is back: %+v", first)
		}
		time.Sleep(30 * time.Second)
		if health().Seen != first.Seen {
			t.Error("what has not changed is told again within a minute")
		}
		time.Sleep(31 * time.Second)
		if !health().Seen.After(first.Seen) {
			t.Error("after a minute it is not told that all is as it was")
		}
		a.set(errors.New("refused"))
		time.Sleep(30 * time.Second)
		if got := health(); got.State != agent.Degraded || got.Reason != "refused" {
			t.Errorf("a change is not told at once: %+v", got)
		}
		cancel()
		<-done
	})
}
