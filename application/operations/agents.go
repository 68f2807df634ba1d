package operations

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Profile is what the configuration says of an agent. Durations of zero are without
// a bound, and so is Concurrent.
type Profile struct {
	Driver     string
	Concurrent int // answers at once
	Queue      time.Duration
	FirstEvent time.Duration
	Idle       time.Duration
	Total      time.Duration
}

// Agent is an agent as operators see it.
type Agent struct {
	Name       agent.Name
	Profile    Profile
	Configured bool // this instance has it; else others may, or it was there once
	Enabled    bool // it is configured, and no administrator has taken it out of service
	Switch     agent.Switch
	Running    int             // requests that it is asked by on this instance
	Breakers   []agent.Breaker // of this instance that are not closed
	Models     []agent.Model
	Health     agent.Health
}

// Agents lists the agents that this instance has, and those that the storage knows,
// by name.
func (s *Service) Agents(ctx context.Context, who tenancy.Principal, q page.Query) (page.Of[Agent], error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return page.Of[Agent]{}, err
	}
	all, err := s.agents(ctx)
	if err != nil {
		return page.Of[Agent]{}, err
	}
	return cut(all, q, func(a Agent) string { return string(a.Name) })
}

// Agent gives one agent. fault.NotFound.
func (s *Service) Agent(ctx context.Context, who tenancy.Principal, name agent.Name) (Agent, error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return Agent{}, err
	}
	return s.agent(ctx, name)
}

func (s *Service) agent(ctx context.Context, name agent.Name) (Agent, error) {
	all, err := s.agents(ctx)
	if err != nil {
		return Agent{}, err
	}
	if i := slices.IndexFunc(all, func(a Agent) bool { return a.Name == name }); i >= 0 {
		return all[i], nil
	}
	return Agent{}, agent.NoAgent()
}

func (s *Service) agents(ctx context.Context) ([]Agent, error) {
	stored, err := s.Storage.Agents().Stored(ctx)
	if err == nil {
		err = s.look(ctx)
	}
	if err != nil {
		return nil, err
	}
	running := make(map[agent.Name]int)
	for _, r := range s.Completion.Running() {
		running[r.Agent]++
	}
	var out []Agent
	for _, r := range s.Vitals.Agents() {
		turned := s.turned(r.Name)
		a := Agent{
			Name: r.Name, Profile: s.shown.Load().Profiles[r.Name], Configured: true, Enabled: !turned.Off, Switch: turned,
			Models: s.Catalog.Now().Serving(r.Name), Health: r.Health, Running: running[r.Name],
		}
		if g := s.guarded(r.Name); g != nil {
			a.Breakers = g.Breakers()
		}
		out = append(out, a)
	}
	for _, d := range stored {
		if !slices.ContainsFunc(out, func(a Agent) bool { return a.Name == d.Name }) {
			h := d.Health
			h.State = cmp.Or(h.State, agent.Unknown)
			out = append(out, Agent{Name: d.Name, Profile: Profile{Driver: d.Type}, Switch: s.turned(d.Name), Models: d.Models, Health: h})
		}
	}
	slices.SortFunc(out, func(a, b Agent) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// turned is how an agent's switch stands.
func (s *Service) turned(name agent.Name) agent.Switch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.switches[name]; ok {
		return w
	}
	return agent.On(name)
}

// errSame ends a change that changes nothing.
var errSame = errors.New("it is so already")

// Enable takes an agent out of service, or brings it back; nil leaves it as it is.
// Requests that come from now on feel it on this instance, and on others soon,
// within Params.Every where they cannot be told; answers that run go on. fault.NotFound, fault.Precondition.
func (s *Service) Enable(ctx context.Context, who tenancy.Principal, name agent.Name, versions []int, enabled *bool) (Agent, error) {
	if err := who.May(tenancy.WritePlatform); err != nil {
		return Agent{}, err
	}
	if _, err := s.agent(ctx, name); err != nil {
		return Agent{}, err
	}
	details := map[string]string{"agent": string(name)}
	if enabled != nil {
		details["enabled"] = strconv.FormatBool(*enabled)
	}
	entry, err := s.Audit.Entry(ctx, trail.Note{Who: who.Scope(), Action: audit.AgentChanged, Target: string(name), Details: details})
	if err != nil {
		return Agent{}, err
	}
	if err := s.turn(ctx, name, entry, func(w *agent.Switch) error {
		if err := w.Expect(versions); err != nil {
			return err
		}
		if enabled == nil || *enabled != w.Off {
			return errSame
		}
		w.Off, w.Changed = !*enabled, s.Now()
		return nil
	}); err != nil && !errors.Is(err, errSame) {
		return Agent{}, err
	}
	return s.agent(ctx, name)
}

// turn turns a switch with its record, has it felt, and tells the other servers.
func (s *Service) turn(ctx context.Context, name agent.Name, entry audit.Entry, change func(*agent.Switch) error) error {
	err := s.turnHere(ctx, name, entry, change)
	if !errors.Is(err, errSame) { // whatever became of it
		s.Bulletin.Publish(context.WithoutCancel(ctx), Topic)
	}
	return err
}

// turnHere is turn for this server.
func (s *Service) turnHere(ctx context.Context, name agent.Name, entry audit.Entry, change func(*agent.Switch) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var after agent.Switch
	err := s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		err := tx.Switches().Turn(ctx, name, func(w *agent.Switch) error {
			if err := change(w); err != nil {
				return err
			}
			after = *w
			after.Version++
			return nil
		})
		if err != nil {
			return err
		}
		return s.Audit.Append(ctx, tx, entry)
	})
	if err == nil {
		s.switches[name] = after
		s.feel()
	}
	return err
}
