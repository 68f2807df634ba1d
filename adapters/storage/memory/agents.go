package memory

import (
	"cmp"
	"context"
	"slices"

	"agentapi/domain/agent"
	"agentapi/domain/session"
	"agentapi/ports"
)

// Agents keeps what the platform's agents are.
func (s *Store) Agents() ports.Agents { return agents{s, autocommit{s}} }

type agents struct {
	s *Store
	locker
}

// Mirror stores the agents as they are configured.
func (a agents) Mirror(ctx context.Context, all []agent.Described) error {
	leave, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	for name, s := range a.s.agents {
		s.Enabled = false
		a.s.agents[name] = s
	}
	for _, d := range all {
		d.Models = slices.Clone(d.Models)
		slices.SortFunc(d.Models, func(a, b agent.Model) int { return cmp.Compare(a.ID, b.ID) })
		for i, m := range d.Models {
			d.Models[i] = agent.Model{ID: m.ID, Context: m.Context}
		}
		a.s.agents[d.Name] = agent.Stored{Described: d, Enabled: true, Health: a.s.agents[d.Name].Health}
	}
	return nil
}

// RecordHealth stores how an agent is.
func (a agents) RecordHealth(ctx context.Context, name agent.Name, h agent.Health) error {
	leave, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if s, ok := a.s.agents[name]; ok && h.State != "" && h.State != agent.Unknown {
		s.Health = agent.Health{State: h.State, Seen: session.Moment(h.Seen), Reason: h.Reason}
		a.s.agents[name] = s
	}
	return nil
}

// Stored returns all agents by name.
func (a agents) Stored(ctx context.Context) (out []agent.Stored, err error) {
	leave, err := a.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, s := range a.s.agents {
		s.Models = slices.Clone(s.Models)
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b agent.Stored) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}
