package guard

import (
	"cmp"
	"maps"
	"slices"

	"agentapi/domain/agent"
)

// Watch has told be called at the end of every run.
func (g *Guard) Watch(told func(err error)) { g.told = told }

func (g *Guard) tell(err error) {
	if g.told != nil {
		g.told(err)
	}
}

// Breakers lists the breakers that are not closed, by model.
func (g *Guard) Breakers() (out []agent.Breaker) {
	g.mu.Lock()
	all := maps.Clone(g.breakers)
	g.mu.Unlock()
	for model, b := range all {
		switch {
		case b.IsOpen():
			out = append(out, agent.Breaker{Model: model, State: agent.Open, Left: max(0, b.RemainingDelay())})
		case b.IsHalfOpen():
			out = append(out, agent.Breaker{Model: model, State: agent.HalfOpen})
		}
	}
	slices.SortFunc(out, func(a, b agent.Breaker) int { return cmp.Compare(a.Model, b.Model) })
	return out
}

// Close closes all breakers. A run that began before may still fail, and counts.
func (g *Guard) Close() int {
	n := len(g.Breakers())
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.breakers)
	return n
}
