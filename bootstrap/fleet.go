package bootstrap

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"go.uber.org/fx"
	"go.uber.org/zap"

	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/ports"
)

// starter and stopper are what an agent may be besides.
type (
	starter interface{ Start(context.Context) error }
	stopper interface{ Stop(context.Context) error }
)

// fleet is the agents that the configuration names. It starts and stops them with the
// application, and changes them while that runs.
type fleet struct {
	drivers driver.Set[ports.Agent]
	log     *zap.Logger
	tracing tracing // nil: nobody sees what agents do

	mu       sync.Mutex
	crew     map[string]member
	leaving  sync.WaitGroup // those who end what they have begun
	stopping chan struct{}  // closed when nothing runs any more: the server stops first
}

// member is an agent, and as requests come to it.
type member struct {
	inner   ports.Agent
	guarded ports.Agent
}

// fleetParts is what a fleet is made of.
type fleetParts struct {
	fx.In

	Drivers []driver.Driver[ports.Agent] `group:"agent"`
	Config  *configs.Config
	Log     *zap.Logger
	Tracing tracing
	Life    fx.Lifecycle
}

func newFleet(p fleetParts) (*fleet, error) {
	set, err := driver.NewSet(p.Drivers)
	if err != nil {
		return nil, err
	}
	f := &fleet{drivers: set, log: p.Log, tracing: p.Tracing, stopping: make(chan struct{})}
	if f.crew, err = f.open(p.Config, p.Config.AgentNames()); err != nil {
		return nil, err
	}
	p.Life.Append(fx.Hook{OnStart: f.start, OnStop: f.stop})
	return f, nil
}

// open opens agents, and tells everything that is wrong with any.
func (f *fleet) open(c *configs.Config, names []string) (map[string]member, error) {
	var (
		out  = make(map[string]member, len(names))
		errs []error
	)
	for _, name := range names {
		a, err := f.drivers.At(c, "agents."+name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		seen := a
		if f.tracing != nil {
			seen = f.tracing.Agent(name, c.Agents[name].Driver, a)
		}
		out[name] = member{a, guarded(c, name, seen)}
	}
	return out, errors.Join(errs...)
}

// agents are all, as requests come to them.
func (f *fleet) agents() map[string]ports.Agent { return agentsOf(f.members()) }

func (f *fleet) members() map[string]member {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.crew)
}

func agentsOf(crew map[string]member) map[string]ports.Agent {
	out := make(map[string]ports.Agent, len(crew))
	for name, m := range crew {
		out[name] = m.guarded
	}
	return out
}

func (f *fleet) start(ctx context.Context) error { return startAll(ctx, f.members()) }

// startAll starts agents; where one fails, none is left.
func startAll(ctx context.Context, crew map[string]member) error {
	begun := make(map[string]member)
	for _, name := range slices.Sorted(maps.Keys(crew)) {
		if s, ok := crew[name].inner.(starter); ok {
			if err := s.Start(ctx); err != nil {
				return errors.Join(err, stopAll(ctx, begun))
			}
		}
		begun[name] = crew[name]
	}
	return nil
}

func stopAll(ctx context.Context, crew map[string]member) error {
	var errs []error
	for _, m := range crew {
		if s, ok := m.inner.(stopper); ok {
			errs = append(errs, s.Stop(ctx))
		}
	}
	return errors.Join(errs...)
}

func (f *fleet) stop(ctx context.Context) error {
	close(f.stopping)
	err := stopAll(ctx, f.members())
	f.leaving.Wait()
	return err
}

// prepare opens and starts the agents that a configuration changes or adds, beside
// those that stay as they are. Nobody is asked yet.
func (f *fleet) prepare(ctx context.Context, c *configs.Config, changed func(name string) bool) (crew, fresh map[string]member, err error) {
	old := f.members()
	crew = make(map[string]member)
	var names []string
	for _, name := range c.AgentNames() {
		if m, ok := old[name]; ok && !changed(name) {
			crew[name] = m
		} else {
			names = append(names, name)
		}
	}
	if fresh, err = f.open(c, names); err != nil {
		return nil, nil, err
	}
	if err = startAll(ctx, fresh); err != nil {
		return nil, nil, err
	}
	maps.Copy(crew, fresh)
	return crew, fresh, nil
}

// replace has the crew be the fleet. Who is not among them stops when idle is closed,
// or with the fleet.
func (f *fleet) replace(crew map[string]member, idle <-chan struct{}) {
	f.mu.Lock()
	left := make(map[string]member)
	for name, m := range f.crew {
		if crew[name] != m {
			left[name] = m
		}
	}
	f.crew = crew
	f.mu.Unlock()
	if len(left) == 0 {
		return
	}
	f.leaving.Go(func() {
		select {
		case <-idle:
		case <-f.stopping:
		}
		if err := stopAll(context.Background(), left); err != nil {
			f.log.Warn("an agent that the configuration has no more did not stop well", zap.Error(err))
		}
	})
}
