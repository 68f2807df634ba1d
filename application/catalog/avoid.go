package catalog

import (
	"maps"
	"slices"

	"agentapi/domain/agent"
)

// Avoid has these agents, which are ill, be tried after all others that answer to a
// name, for requests that come from now on; alone they are tried all the same. It
// gives the names, aliases and bare ids, that nobody else answers to.
func (s *Service) Avoid(ill map[agent.Name]bool) (lost []string) {
	ill = maps.Clone(ill)
	s.ill.Store(&ill)
	if len(ill) == 0 {
		return nil
	}
	well := make(map[string]bool) // by name, whether somebody is
	see := func(name string, n agent.Name) {
		if !s.Off(n) {
			well[name] = well[name] || !ill[n]
		}
	}
	for alias, all := range s.routing.Aliases {
		for _, c := range all {
			see(alias, c.Agent)
		}
	}
	for _, n := range s.routing.Default {
		for _, m := range s.entries[n].models() {
			if s.routing.Aliases[m.ID] == nil {
				see(m.ID, n)
			}
		}
	}
	for name, is := range well {
		if !is {
			lost = append(lost, name)
		}
	}
	slices.Sort(lost)
	return lost
}

// Ill tells whether an agent is tried after all others.
func (s *Service) Ill(n agent.Name) bool {
	ill := s.ill.Load()
	return ill != nil && (*ill)[n]
}

// wellFirst puts candidates of agents that are ill behind the others.
func (s *Service) wellFirst(all []agent.Candidate) []agent.Candidate {
	ill := s.ill.Load()
	if ill == nil || len(*ill) == 0 || len(all) < 2 {
		return all
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b agent.Candidate) int { return rank((*ill)[a.Agent]) - rank((*ill)[b.Agent]) })
	return all
}

func rank(ill bool) int {
	if ill {
		return 1
	}
	return 0
}
