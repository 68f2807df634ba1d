package prometheus

import (
	"sync"

	"agentapi/domain/agent"
)

// Other stands for models that are not told apart.
const Other = "other"

// mostModels bounds the models of one agent that are told apart.
const mostModels = 100

// models keeps the label of a model from being whatever a caller asks for: only models
// that an agent is known to have are told apart, and not too many of them.
type models struct {
	mu   sync.Mutex
	seen map[agent.Name]map[string]bool
}

func (m *models) label(by agent.Name, model string, known func(agent.Name, string) bool) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := m.seen[by]
	switch {
	case of[model]:
		return model
	case len(of) >= mostModels || known == nil || !known(by, model):
		return Other
	case m.seen == nil:
		m.seen = make(map[agent.Name]map[string]bool)
	}
	if of == nil {
		of = make(map[string]bool)
		m.seen[by] = of
	}
	of[model] = true
	return model
}
