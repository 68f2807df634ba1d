package vitals_test

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cachemem "agentapi/adapters/cache/memory"
	"agentapi/adapters/storage/memory"
	"agentapi/application/catalog"
	"agentapi/application/outage"
	"agentapi/application/vitals"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/ports"
)

// patient is an agent whose probe says what a test sets.
type patient struct {
	says
	ports.Agent
}

func (p *patient) Probe(ctx context.Context) error { return p.says.Probe(ctx) }

// ill is a patient that cannot be reached.
func ill() *patient {
	p := &patient{}
	p.set(errors.New("refused"))
	return p
}

// says is what a test has something say of itself.
type says struct {
	mu  sync.Mutex
	err error
}

func (p *says) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *says) Probe(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// shelf is a storage that says what a test sets.
type shelf struct {
	ports.Storage
	says
}

func (s *shelf) Ready(ctx context.Context) error { return s.Probe(ctx) }

func (s *shelf) Agents() ports.Agents { return &agents{s.Storage.Agents(), s} }

// agents counts what it is told, and takes nothing while the shelf has an error.
type agents struct {
	ports.Agents
	s *shelf
}

func (a *agents) Mirror(ctx context.Context, all []agent.Described) error {
	if err := a.s.Probe(ctx); err != nil {
		return err
	}
	return a.Agents.Mirror(ctx, all)
}

func (a *agents) NoteChanges(ctx context.Context, changes ...agent.Change) error {
	if err := a.s.Probe(ctx); err != nil {
		return err
	}
	return a.Agents.NoteChanges(ctx, changes...)
}

func (a *agents) RecordHealth(ctx context.Context, name agent.Name, h agent.Health) error {
	if err := a.s.Probe(ctx); err != nil {
		return err
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

func (c *changes) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

func (c *changes) HealthChanged(_ context.Context, _ agent.Name, h agent.Health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, h.State)
}

// empty is a catalogue without agents.
func empty(t *testing.T) *catalog.Service {
	t.Helper()
	c, err := catalog.New(catalog.Params{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return c
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
	}, Routing: catalog.Routing{Default: []agent.Name{"a"}}})
	if err != nil {
		t.Fatal(err)
	}
	return vitals.New(vitals.Params{Storage: s, Catalog: catalog.Begin(c), Observer: o, Outages: outage.New(o, time.Now), Limit: time.Second, Now: time.Now,
		Watched: vitals.Watched{
			Care:       map[agent.Name]vitals.Care{"a": {Every: 30 * time.Second, Limit: time.Second, By: agent.Usually()}},
			Configured: []agent.Described{{Name: "a", Type: "demo", Config: "{}"}},
		},
		Random: func(b []byte) { rand.Read(b) }, Instance: "i"})
}

func TestAnAgentThatCannotBeReachedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, seen := ill(), &changes{}
		s := open(t, a, storage(t), seen)
		state := func() agent.State { return s.Report(t.Context()).Agents[0].Health.State }
		if got := state(); got != agent.Unknown {
			t.Errorf("before the first probe it is %s", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		synctest.Wait()
		if got := state(); got != agent.Degraded {
			t.Errorf("after a failed probe it is %s", got)
		}
		time.Sleep(67 * time.Second) // a tenth more than two intervals
		if got := state(); got != agent.Unhealthy {
			t.Errorf("after three failed probes it is %s", got)
		}
		a.set(nil)
		time.Sleep(67 * time.Second)
		if got := state(); got != agent.Healthy {
			t.Errorf("once it answers it is %s", got)
		}
		cancel()
		<-done
		if len(seen.seen) != 3 {
			t.Errorf("observed: %v", seen.seen)
		}
	})
}

func TestReadinessDependsOnTheStorageAndNotOnAgents(t *testing.T) {
	store := storage(t)
	s := open(t, ill(), store, ports.NopObserver{})
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("with a dead agent: %v", err)
	}
	store.set(fault.New(fault.Unavailable, "away").WithCode("storage_unavailable"))
	if err := s.Ready(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without storage: %v", err)
	}
	store.set(nil)
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
		store.set(fault.New(fault.Unavailable, "away"))
		s := open(t, a, store, seen)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		time.Sleep(91 * time.Second)
		if n := seen.times(); n != 1 {
			t.Errorf("while the storage is away it is said %d times", n)
		}
		store.set(nil)
		health := func() agent.Health {
			t.Helper()
			all, err := store.Storage.Agents().Stored(t.Context())
			if err != nil || len(all) != 1 || !all[0].Enabled {
				t.Fatalf("stored are %+v, %v", all, err)
			}
			return all[0].Health
		}
		time.Sleep(34 * time.Second)
		first := health()
		if first.State != agent.Healthy {
			t.Errorf("once the storage is back: %+v", first)
		}
		time.Sleep(20 * time.Second)
		if health().Seen != first.Seen {
			t.Error("what has not changed is told again within a minute")
		}
		time.Sleep(80 * time.Second)
		if !health().Seen.After(first.Seen) {
			t.Error("after a minute it is not told that all is as it was")
		}
		a.set(errors.New("refused"))
		time.Sleep(34 * time.Second)
		if got := health(); got.State != agent.Degraded || got.Reason != "refused" {
			t.Errorf("a change is not told at once: %+v", got)
		}
		// What changes while the storage is away is told once it is back.
		store.set(fault.New(fault.Unavailable, "away"))
		time.Sleep(67 * time.Second) // the second and third failure
		a.set(nil)
		time.Sleep(67 * time.Second)
		store.set(nil)
		time.Sleep(34 * time.Second)
		history, err := store.Storage.Agents().Changes(t.Context(), "a", page.Query{Limit: 10})
		if err != nil || len(history.Items) != 4 || history.Items[2].State != agent.Unhealthy || history.Items[3].State != agent.Healthy {
			t.Errorf("the history is %+v, %v", history.Items, err)
		}
		cancel()
		<-done
	})
}

// guarded is a patient that tells how its runs end, as a test has them.
type guarded struct {
	patient
	told func(error)
}

func (g *guarded) Watch(told func(error))    { g.told = told }
func (g *guarded) Breakers() []agent.Breaker { return nil }
func (g *guarded) Close() int                { return 0 }

func TestWhatRunsSayOfAnAgentCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, seen, store := &guarded{}, &changes{}, storage(t)
		s := open(t, a, store, seen)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		synctest.Wait()
		is := func(want agent.State) {
			t.Helper()
			synctest.Wait()
			if got := s.Agents()[0].Health.State; got != want {
				t.Errorf("it is %s, not %s", got, want)
			}
		}
		is(agent.Healthy)
		for range 5 {
			for _, kind := range []fault.Kind{fault.Canceled, fault.Invalid, fault.TooLong, fault.Unsupported, fault.RateLimited, fault.NotFound} {
				a.told(fault.New(kind, "x"))
			}
			a.told(fault.New(fault.Unavailable, "x").WithCode("agent_overloaded"))
		}
		is(agent.Healthy)
		time.Sleep(time.Second)
		a.told(fault.New(fault.Timeout, "x"))
		is(agent.Degraded)
		a.told(fault.New(fault.Upstream, "y"))
		a.told(fault.New(fault.Unavailable, "away"))
		is(agent.Unhealthy)
		if now := s.Degraded(); len(now) != 1 || now[0].Dep != outage.Agents || now[0].Mode != "models_unavailable" || now[0].Why != "no agent that is well answers to m" {
			t.Errorf("degraded is %+v", now)
		}
		time.Sleep(time.Second)
		a.told(nil)
		is(agent.Unhealthy)
		a.told(nil)
		is(agent.Healthy)
		if now := s.Degraded(); len(now) != 0 {
			t.Errorf("degraded is %+v", now)
		}
		s.Forget("a")
		s.Forget("nobody")
		is(agent.Healthy) // it was probed at once
		cancel()
		<-done

		got, err := store.Storage.Agents().Changes(t.Context(), "a", page.Query{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var states []agent.State
		for _, c := range got.Items {
			states = append(states, c.State)
			if c.Instance != "i" {
				t.Errorf("it was seen by %q", c.Instance)
			}
		}
		want := []agent.State{agent.Healthy, agent.Degraded, agent.Unhealthy, agent.Healthy, agent.Unknown, agent.Healthy}
		if !slices.Equal(states, want) {
			t.Fatalf("the history is %v, not %v", states, want)
		}
		if c := got.Items[2]; c.Was != agent.Degraded || c.Reason != "away" || c.Tally != (agent.Tally{Runs: 2, RunsFailed: 2}) || c.Lasted != 0 {
			t.Errorf("the change to unhealthy is %+v", c)
		}
		if c := got.Items[3]; c.Lasted != time.Second || c.Tally != (agent.Tally{Runs: 2}) || c.Was != agent.Unhealthy || c.Reason != "" {
			t.Errorf("the change to healthy is %+v", c)
		}
	})
}

func TestReadinessDependsOnWhetherCredentialsCanBeChecked(t *testing.T) {
	var identity error
	s := vitals.New(vitals.Params{
		Storage: storage(t), Catalog: catalog.Begin(empty(t)), Observer: ports.NopObserver{}, Outages: outage.New(ports.NopObserver{}, time.Now), Now: time.Now,
		Identity: func() error { return identity },
	})
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	identity = fault.New(fault.Unavailable, "no keys").WithCode("auth_unavailable")
	if f := fault.As(s.Ready(t.Context())); f == nil || f.Code != "auth_unavailable" {
		t.Errorf("without keys: %v", f)
	}
	if r := s.Report(t.Context()); r.Ready == nil || r.Identity == nil || r.Storage != nil {
		t.Errorf("report: %+v", r)
	}
}

func TestWhatNobodyUsesIsAskedWhetherItIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := storage(t)
		out := outage.New(ports.NopObserver{}, time.Now)
		var cache says // it is there or not, as an agent is
		s := vitals.New(vitals.Params{
			Storage: store, Catalog: catalog.Begin(empty(t)), Observer: ports.NopObserver{}, Outages: out, Now: time.Now, Limit: time.Second,
			Cache: cache.Probe,
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		for _, away := range []bool{false, true, false} {
			for _, p := range []*says{&cache, &store.says} {
				if p.set(nil); away {
					p.set(fault.New(fault.Unavailable, "away"))
				}
			}
			time.Sleep(1100 * time.Millisecond) // long enough for one answer
			if refused := out.Refusing() != nil; refused != away {
				t.Errorf("after a second requests are refused: %v", refused)
			}
			time.Sleep(5 * time.Second)
			var deps []string
			for _, d := range s.Degraded() {
				deps = append(deps, d.Dep)
			}
			if want := map[bool]string{true: "redis storage"}[away]; strings.Join(deps, " ") != want {
				t.Errorf("away is %v, not %q", deps, want)
			}
		}
		cancel()
		<-done
	})
}
