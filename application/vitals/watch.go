package vitals

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"agentapi/application/catalog"
	"agentapi/application/outage"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

// How dependencies are watched: asked this often, each for so long at most.
const (
	askEvery = time.Second
	askLimit = 1500 * time.Millisecond
)

// Run watches the agents and dependencies until ctx ends; it returns when all that it
// began has. Each agent is probed at once and then in its own time.
func (s *Service) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { s.attend(ctx) })
	for ctx.Err() == nil {
		s.round(ctx)
	}
}

// round watches the agents until there are others, or ctx ends.
func (s *Service) round(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	s.mirrored = false
	s.keep(ctx)
	for _, e := range s.p.Catalog.Now().Entries() {
		s.mu.Lock()
		care, nudge, met := s.watched.Care[e.Name], s.nudges[e.Name], s.agents[e.Name] == e.Agent
		s.mu.Unlock()
		if met { // else there are others already
			all.Go(func() { s.watch(ctx, e, care, nudge) })
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.again:
			return
		case <-s.wake:
			s.keep(ctx)
		}
	}
}

// watch probes one agent.
func (s *Service) watch(ctx context.Context, e catalog.Entry, care Care, nudge <-chan struct{}) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-nudge:
		}
		s.probe(ctx, e, care)
		// Servers that started together do not probe together for long.
		next.Reset(care.Every - care.Every/10 + rand.N(care.Every/5+1))
	}
}

func (s *Service) probe(ctx context.Context, e catalog.Entry, care Care) {
	limited, cancel := context.WithTimeout(ctx, care.Limit)
	defer cancel()
	err := e.Agent.Probe(limited)
	if err == nil {
		err = s.p.Catalog.Now().Refresh(limited, e.Name)
	}
	if ctx.Err() != nil {
		return // the watch ends; that says nothing of the agent
	}
	s.observe(e.Name, agent.Observation{At: s.p.Now(), Err: err})
	s.rouse()
}

// ran hears how an answer of an agent ended.
func (s *Service) ran(name agent.Name, err error) {
	if err != nil && !agent.AtFault(err) {
		return
	}
	if s.observe(name, agent.Observation{At: s.p.Now(), Run: true, Err: err}) {
		s.rouse()
	}
}

// rouse has the storage told.
func (s *Service) rouse() {
	select {
	case s.wake <- struct{}{}:
	default: // it will be
	}
}

// maxUntold is how many changes wait for a storage that is away.
const maxUntold = 1000

// observe notes an observation, and tells whether the agent's state changed.
func (s *Service) observe(name agent.Name, o agent.Observation) bool {
	s.mu.Lock()
	if s.agents[name] == nil { // an answer of one that has left
		s.mu.Unlock()
		return false
	}
	now := s.health[name].Observe(s.watched.Care[name].By, o)
	changed := s.become(name, now)
	s.mu.Unlock()
	if changed {
		s.p.Observer.HealthChanged(context.Background(), name, now)
		s.feel()
	}
	return changed
}

// become sets an agent's health; the mutex is held.
func (s *Service) become(name agent.Name, now agent.Health) (changed bool) {
	c, changed := s.health[name].Became(now)
	s.health[name] = now
	if !changed {
		return false
	}
	// Ids are by the millisecond: those of one server are in the order of its changes.
	if s.last = s.last.Add(time.Millisecond); s.last.Before(c.At) {
		s.last = c.At
	}
	var b [10]byte
	s.p.Random(b[:])
	c.ID, c.Agent, c.Instance = agent.NewChangeID(s.last, b), name, s.p.Instance
	if s.changes = append(s.changes, c); len(s.changes) > maxUntold {
		s.changes = s.changes[1:]
	}
	return true
}

// Forget makes an agent unknown again, and has it probed at once. It does nothing where
// there is no such agent.
func (s *Service) Forget(name agent.Name) {
	s.mu.Lock()
	nudge := s.nudges[name]
	if nudge == nil {
		s.mu.Unlock()
		return
	}
	now := s.health[name].Forgotten(s.p.Now())
	changed := s.become(name, now)
	s.mu.Unlock()
	if changed {
		s.p.Observer.HealthChanged(context.Background(), name, now)
	}
	s.feel()
	s.rouse()
	select {
	case nudge <- struct{}{}:
	default: // it is about to be
	}
}

// feel has requests that come from now on be led past agents that are unhealthy, and
// notes which models have no other.
func (s *Service) feel() {
	s.mu.Lock()
	ill := make(map[agent.Name]bool)
	for name, h := range s.health {
		if h.State == agent.Unhealthy {
			ill[name] = true
		}
	}
	lost := s.p.Catalog.Now().Avoid(ill)
	s.mu.Unlock()
	var err error
	if len(lost) > 0 {
		err = errors.New("no agent that is well answers to " + list(lost))
	}
	s.p.Outages.Tell(outage.Agents, "", err)
}

// list names some of them.
func list(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + " and others"
	}
	return strings.Join(names, ", ")
}

// attend asks those dependencies how they are which nobody may be using.
func (s *Service) attend(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		s.within(ctx, func(limited context.Context) { _ = s.ask(limited) }) // it is noted
		if s.p.Cache != nil {
			s.within(ctx, func(limited context.Context) {
				err := s.p.Cache(limited)
				if err == nil || ctx.Err() == nil && fault.Is(err, fault.Unavailable) {
					s.p.Outages.Tell(outage.Redis, "cache", err)
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Service) within(ctx context.Context, do func(context.Context)) {
	limited, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	do(limited)
}
