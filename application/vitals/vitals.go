// Package vitals tells whether the server and its agents are well.
package vitals

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"agentapi/application/catalog"
	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Params is what a Service needs.
type Params struct {
	Storage  ports.Storage
	Catalog  *catalog.Service
	Observer ports.Observer
	Every    time.Duration // between two probes of an agent
	Limit    time.Duration // for one probe
	Now      func() time.Time
	// Configured are the agents that are mirrored into the storage.
	Configured []agent.Described
	// Audit tells what is known to be wrong with the audit log, nil: nothing; nil where
	// there is none. Serving does not depend on it.
	Audit func() *audit.Finding
}

// Service probes agents in the background and answers health questions. It is
// safe for concurrent use.
type Service struct {
	p        Params
	started  time.Time
	draining atomic.Bool

	mu     sync.Mutex
	health map[agent.Name]agent.Health

	// What follows is Run's own.
	mirrored bool
	told     map[agent.Name]time.Time // the observation that the storage knows
	failing  bool                     // the observer knows that the storage takes nothing
}

// New makes a Service; Run probes.
func New(p Params) *Service {
	return &Service{p: p, started: p.Now(), health: make(map[agent.Name]agent.Health), told: make(map[agent.Name]time.Time)}
}

// Report is the state of everything at one moment.
type Report struct {
	Ready    error // nil: the server can serve; else why not
	Draining bool
	Storage  error          // nil: it answers
	Audited  bool           // there is an audit log
	Audit    *audit.Finding // what is known to be wrong with it; nil: nothing
	Agents   []AgentReport
	Started  time.Time
}

// AgentReport is the state of one agent.
type AgentReport struct {
	Name   agent.Name
	Models []string
	Health agent.Health
}

// Run probes every agent at once and then every Params.Every until ctx ends; it
// returns when all probes have.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(s.p.Every)
	defer tick.Stop()
	s.keep(ctx)
	for {
		s.probeAll(ctx)
		s.keep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tellEvery is how often the storage is told that an agent is as it was.
const tellEvery = time.Minute

// keep mirrors the agents into the storage, once, and tells it how they are. What
// it does not take now it is told later; serving does not depend on it.
func (s *Service) keep(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, s.p.Limit)
	defer cancel()
	err := s.tell(limited)
	if ctx.Err() != nil {
		return
	}
	if err != nil && !s.failing {
		s.p.Observer.Lost(ctx, "how the agents are", err)
	}
	s.failing = err != nil
}

func (s *Service) tell(ctx context.Context) error {
	if !s.mirrored {
		if err := s.p.Storage.Agents().Mirror(ctx, s.p.Configured); err != nil {
			return err
		}
		s.mirrored = true
	}
	s.mu.Lock()
	news := make(map[agent.Name]agent.Health)
	for name, h := range s.health {
		if at := s.told[name]; at.IsZero() || h.Since.After(at) || h.Seen.Sub(at) >= tellEvery {
			news[name] = h
		}
	}
	s.mu.Unlock()
	for name, h := range news {
		if err := s.p.Storage.Agents().RecordHealth(ctx, name, h); err != nil {
			return err
		}
		s.told[name] = h.Seen
	}
	return nil
}

func (s *Service) probeAll(ctx context.Context) {
	var all sync.WaitGroup
	for _, e := range s.p.Catalog.Entries() {
		all.Go(func() { s.probe(ctx, e) })
	}
	all.Wait()
}

func (s *Service) probe(ctx context.Context, e catalog.Entry) {
	limited, cancel := context.WithTimeout(ctx, s.p.Limit)
	defer cancel()
	err := e.Agent.Probe(limited)
	if err == nil {
		err = s.p.Catalog.Refresh(limited, e.Name)
	}
	if ctx.Err() != nil {
		return // the server stops; that says nothing of the agent
	}
	s.observe(ctx, e.Name, err)
}

func (s *Service) observe(ctx context.Context, n agent.Name, err error) {
	s.mu.Lock()
	old := s.health[n]
	now := old.Observe(s.p.Now(), err)
	s.health[n] = now
	s.mu.Unlock()
	if now.State != old.State {
		s.p.Observer.HealthChanged(ctx, n, now)
	}
}

// Ready returns nil when the server can serve; fault.Unavailable otherwise:
// the storage does not answer, or the server is shutting down (code
// shutting_down). Agents do not matter to it.
func (s *Service) Ready(ctx context.Context) error {
	if s.draining.Load() {
		return fault.New(fault.Unavailable, "The server is shutting down.").WithCode("shutting_down").WithRetryAfter(time.Second)
	}
	return s.p.Storage.Ready(ctx)
}

// Report gathers the state of everything; it calls no model.
func (s *Service) Report(ctx context.Context) Report {
	r := Report{Draining: s.draining.Load(), Storage: s.p.Storage.Ready(ctx), Started: s.started}
	r.Ready, r.Agents = s.Ready(ctx), s.Agents()
	if r.Audited = s.p.Audit != nil; r.Audited {
		r.Audit = s.p.Audit()
	}
	return r
}

// Started is when the server began.
func (s *Service) Started() time.Time { return s.started }

// Agents is how the agents are.
func (s *Service) Agents() (out []AgentReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.p.Catalog.Entries() {
		a := AgentReport{Name: e.Name, Health: s.health[e.Name]}
		if a.Health.State == "" {
			a.Health.State = agent.Unknown
		}
		for _, m := range s.p.Catalog.Serving(e.Name) {
			a.Models = append(a.Models, m.ID)
		}
		out = append(out, a)
	}
	return out
}

// Drain makes the server not ready for good; it happens at shutdown.
func (s *Service) Drain() { s.draining.Store(true) }
