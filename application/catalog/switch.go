package catalog

import (
	"maps"
	"strings"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

// Switch takes these agents out of service, and brings all others back, for requests
// that come from now on; what runs goes on.
func (s *Service) Switch(off map[agent.Name]bool) {
	off = maps.Clone(off)
	s.off.Store(&off)
}

// Off tells whether an agent is out of service.
func (s *Service) Off(n agent.Name) bool {
	off := s.off.Load()
	return off != nil && (*off)[n]
}

// Routing gives the configured ways to the agents, which must not be changed.
func (s *Service) Routing() Routing { return s.routing }

// working are the candidates that are in service.
func (s *Service) working(all []agent.Candidate) []agent.Candidate {
	var out []agent.Candidate
	for _, c := range all {
		if !s.Off(c.Agent) {
			out = append(out, c)
		}
	}
	return out
}

// inService is the route without agents that are out of service; fault.Unavailable
// where none is left.
func (s *Service) inService(name string, route agent.Route) (agent.Route, error) {
	left := s.working(route.Candidates)
	if len(left) == 0 {
		var names []string
		for _, c := range route.Candidates {
			names = append(names, string(c.Agent))
		}
		return agent.Route{}, fault.New(fault.Unavailable, "Nobody answers to the model '%s' now: an administrator has taken out of service %s.", shown(name), strings.Join(names, ", ")).
			WithCode("agent_unavailable").WithParam("model").WithHint("GET /v1/models lists what can be asked now.")
	}
	route.Candidates = s.wellFirst(left)
	return route, nil
}
