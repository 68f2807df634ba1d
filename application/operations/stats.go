package operations

import (
	"context"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/census"
	"agentapi/domain/tenancy"
)

// countTo is where counting stops, so that no question takes long.
const countTo = 1_000_000

// Stats is the platform in numbers. What is not in Stored is of this instance alone.
type Stats struct {
	Instance string
	Version  string
	Started  time.Time
	Uptime   time.Duration
	Running  int                 // requests
	Agents   map[agent.State]int // that are in service
	Off      int                 // agents that are not
	Stored   census.Census
}

// Stats gives the platform in numbers.
func (s *Service) Stats(ctx context.Context, who tenancy.Principal) (Stats, error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return Stats{}, err
	}
	at := s.Now()
	stored, err := s.Storage.Census(ctx, at, countTo)
	if err != nil {
		return Stats{}, err
	}
	out := Stats{
		Instance: s.Instance, Version: s.Version, Started: s.Vitals.Started(), Uptime: at.Sub(s.Vitals.Started()),
		Running: len(s.Completion.Running()), Agents: make(map[agent.State]int), Stored: stored,
	}
	for _, a := range s.Vitals.Agents() {
		if s.Catalog.Now().Off(a.Name) {
			out.Off++
		} else {
			out.Agents[a.Health.State]++
		}
	}
	return out, nil
}

// Setting is one value of the effective configuration, without what is secret.
type Setting struct {
	Path   string // such as server.addr
	Value  any
	Origin string // a file's line, a variable, a flag, or default
}

// Configuration gives what this instance runs with.
func (s *Service) Configuration(who tenancy.Principal) ([]Setting, error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return nil, err
	}
	return s.shown.Load().Settings, nil
}
