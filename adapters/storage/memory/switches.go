package memory

import (
	"cmp"
	"context"
	"slices"

	"agentapi/domain/agent"
	"agentapi/domain/session"
)

type switches struct {
	s *Store
	locker
}

// All returns the switches that were ever turned.
func (c switches) All(ctx context.Context) ([]agent.Switch, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	out := make([]agent.Switch, 0, len(c.s.switches))
	for _, v := range c.s.switches {
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b agent.Switch) int { return cmp.Compare(a.Agent, b.Agent) })
	return out, nil
}

// Turn stores what change makes of an agent's switch.
func (c switches) Turn(ctx context.Context, name agent.Name, change func(*agent.Switch) error) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	v := agent.On(name)
	if old := c.s.switches[name]; old != nil {
		v = *old
	}
	version := v.Version
	if err := change(&v); err != nil {
		return err
	}
	v.Agent, v.Version, v.Changed = name, version+1, session.Moment(v.Changed)
	if !v.Reset.IsZero() {
		v.Reset = session.Moment(v.Reset)
	}
	put(c.s, c.s.switches, name, &v)
	return nil
}
