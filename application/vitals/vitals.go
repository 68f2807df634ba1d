// Package vitals tells whether the server, what it depends on, and its agents are well.
package vitals

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"agentapi/application/catalog"
	"agentapi/application/outage"
	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Care is how one agent is watched.
type Care struct {
	Every time.Duration // between two probes, a tenth more or less
	Limit time.Duration // for one probe
	By    agent.Hysteresis
}

// Watched is how the agents of a catalog are watched.
type Watched struct {
	Care       map[agent.Name]Care
	Configured []agent.Described // what is mirrored into the storage
}

// Params is what a Service needs.
type Params struct {
	Storage  ports.Storage
	Catalog  *catalog.Current
	Observer ports.Observer
	Outages  *outage.Registry
	Watched  Watched       // how the agents of the catalog are watched, at first
	Limit    time.Duration // for telling the storage
	Now      func() time.Time
	Random   func([]byte) // fills with random bytes
	Instance string       // this server process
	// Identity is nil where some credential can be checked, else why none can.
	Identity func() error
	// Cache is asked whether it answers, now and then; nil where it always does.
	Cache func(context.Context) error
	// Audit tells what is known to be wrong with the audit log, nil: nothing; nil where
	// there is none. Serving does not depend on it.
	Audit func() *audit.Finding
}

// Service watches agents and dependencies in the background and answers health
// questions. It is safe for concurrent use.
type Service struct {
	p        Params
	started  time.Time
	draining atomic.Bool
	mute     atomic.Int64  // how often in a row the storage has not answered
	wake     chan struct{} // there may be something to tell the storage
	again    chan struct{} // there are others to watch

	mu      sync.Mutex
	watched Watched
	agents  map[agent.Name]ports.Agent // whom the watch has met
	nudges  map[agent.Name]chan struct{}
	health  map[agent.Name]agent.Health
	last    time.Time      // the moment of the last change's id
	changes []agent.Change // that the storage does not know; the oldest go

	// What follows is of keep, which Run alone calls.
	mirrored bool
	told     map[agent.Name]time.Time // the observation that the storage knows
	failing  bool                     // the observer knows that the storage takes nothing
}

// New makes a Service, which hears from now on how the agents' answers end; Run probes.
func New(p Params) *Service {
	s := &Service{
		p: p, started: p.Now(), wake: make(chan struct{}, 1), again: make(chan struct{}, 1),
		health: make(map[agent.Name]agent.Health), told: make(map[agent.Name]time.Time),
	}
	s.meet(p.Catalog.Now(), p.Watched)
	return s
}

// Meet has the service watch the agents of a catalog that is about to hold, before it
// does. Of an agent that is new, or another than before under its name, nothing is
// known yet.
func (s *Service) Meet(next *catalog.Service, w Watched) {
	s.meet(next, w)
	select {
	case s.again <- struct{}{}:
	default: // it is about to look
	}
}

func (s *Service) meet(next *catalog.Service, w Watched) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.agents
	s.watched, s.agents, s.nudges = w, make(map[agent.Name]ports.Agent), make(map[agent.Name]chan struct{})
	for _, e := range next.Entries() {
		s.agents[e.Name], s.nudges[e.Name] = e.Agent, make(chan struct{}, 1)
		if before[e.Name] == e.Agent {
			continue
		}
		delete(s.health, e.Name)
		if g, ok := e.Agent.(ports.Guarded); ok {
			g.Watch(func(err error) { s.ran(e.Name, err) })
		}
	}
	for name := range s.health {
		if s.agents[name] == nil {
			delete(s.health, name)
		}
	}
}

// Report is the state of everything at one moment.
type Report struct {
	Ready    error // nil: the server can serve; else why not
	Draining bool
	Storage  error          // nil: it answers
	Identity error          // nil: credentials can be checked
	Shared   bool           // there is a cache that servers share
	Audited  bool           // there is an audit log
	Audit    *audit.Finding // what is known to be wrong with it; nil: nothing
	Agents   []AgentReport
	Degraded []ports.Degraded // what is away, by name
	Started  time.Time
	Took     time.Duration // of asking the storage
}

// AgentReport is the state of one agent.
type AgentReport struct {
	Name   agent.Name
	Models []string
	Health agent.Health
}

// Ready returns nil when the server can serve; fault.Unavailable otherwise: the
// storage does not answer or its schema is another's, no credential can be checked, or
// the server is shutting down (code shutting_down). Agents do not matter to it.
func (s *Service) Ready(ctx context.Context) error {
	if s.draining.Load() {
		return errDraining()
	}
	if err := s.ask(ctx); err != nil {
		return err
	}
	return s.identity()
}

func errDraining() error {
	return fault.New(fault.Unavailable, "The server is shutting down.").WithCode("shutting_down").WithRetryAfter(time.Second)
}

// muteEnough is how often in a row the storage must not answer to count as away: a
// server that has much to do may miss an answer. Requests are refused from the first.
const muteEnough = 2

// ask asks the storage, and notes how it is.
func (s *Service) ask(ctx context.Context) error {
	err := s.p.Storage.Ready(ctx)
	switch {
	case fault.Is(err, fault.Canceled):
	case err == nil:
		s.mute.Store(0)
		s.p.Outages.Tell(outage.Storage, "", nil)
	case s.mute.Add(1) >= muteEnough:
		s.p.Outages.Tell(outage.Storage, "", err)
	default:
		s.p.Outages.Doubt()
	}
	return err
}

func (s *Service) identity() error {
	if s.p.Identity == nil {
		return nil
	}
	return s.p.Identity()
}

// Report gathers the state of everything; it calls no model.
func (s *Service) Report(ctx context.Context) Report {
	began := s.p.Now()
	r := Report{Draining: s.draining.Load(), Storage: s.ask(ctx), Identity: s.identity(), Shared: s.p.Cache != nil, Started: s.started}
	r.Took = s.p.Now().Sub(began)
	switch {
	case r.Draining:
		r.Ready = errDraining()
	case r.Storage != nil:
		r.Ready = r.Storage
	default:
		r.Ready = r.Identity
	}
	r.Agents, r.Degraded = s.Agents(), s.Degraded()
	if r.Audited = s.p.Audit != nil; r.Audited {
		r.Audit = s.p.Audit()
	}
	return r
}

// Degraded lists what is away, by name. It asks nobody.
func (s *Service) Degraded() []ports.Degraded { return s.p.Outages.Now() }

// Started is when the server began.
func (s *Service) Started() time.Time { return s.started }

// Agents is how the agents are.
func (s *Service) Agents() (out []AgentReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.p.Catalog.Now().Entries() {
		a := AgentReport{Name: e.Name, Health: s.health[e.Name]}
		if a.Health.State == "" {
			a.Health.State = agent.Unknown
		}
		for _, m := range s.p.Catalog.Now().Serving(e.Name) {
			a.Models = append(a.Models, m.ID)
		}
		out = append(out, a)
	}
	return out
}

// Drain makes the server not ready for good; it happens at shutdown.
func (s *Service) Drain() { s.draining.Store(true) }
