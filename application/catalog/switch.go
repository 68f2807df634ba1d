package catalog

import (
	"maps"
	"strings"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

// Switch takes these agents out of service, as disabled or drained, and brings all
// others back, for requests that come from now on; what runs goes on.
func (s *Service) Switch(off map[agent.Name]agent.Verdict) {
	off = maps.Clone(off)
	s.off.Store(&off)
}

// Off tells whether an agent is out of service.
func (s *Service) Off(n agent.Name) bool { return s.why(n) != "" }

func (s *Service) why(n agent.Name) agent.Verdict {
	off := s.off.Load()
	if off == nil {
		return ""
	}
	return (*off)[n]
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
	all := route.Candidates
	route.Pass(func(c agent.Candidate) (agent.Verdict, string) { return s.why(c.Agent), "" })
	if len(route.Candidates) == 0 {
		var names []string
		for _, c := range all {
			names = append(names, string(c.Agent))
		}
		return route, fault.New(fault.Unavailable, "Nobody answers to the model '%s' now: an administrator has taken out of service %s.", shown(name), strings.Join(names, ", ")).
			WithCode("agent_unavailable").WithParam("model").WithHint("GET /v1/models lists what can be asked now.")
	}
	route.Candidates = s.wellFirst(route.Candidates)
	return route, nil
}
