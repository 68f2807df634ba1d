package price

import (
	"strings"

	"agentapi/domain/agent"
)

// List is the prices of models. The zero List has everything free. It must not be
// changed while it is used.
type List struct {
	Currency string // three lower-case letters, such as usd
	// Models are prices by agent/model; a name that ends in * is a prefix.
	Models map[string]Tokens
}

// Of gives a model's prices: those of its whole name, or else of the longest prefix;
// a model that none names is free.
func (l *List) Of(c agent.Candidate) Tokens {
	if l == nil || len(l.Models) == 0 {
		return Tokens{}
	}
	name := string(c.Agent) + "/" + c.Model
	if t, ok := l.Models[name]; ok {
		return t
	}
	var (
		best  Tokens
		known = -1
	)
	for pattern, t := range l.Models {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(name, prefix) && len(prefix) > known {
			best, known = t, len(prefix)
		}
	}
	return best
}

// AtMost is what an answer costs at most, whichever of the candidates gives it.
func (l *List) AtMost(candidates []agent.Candidate, prompt, answer int) (most Micro) {
	for _, c := range candidates {
		most = max(most, l.Of(c).AtMost(prompt, answer))
	}
	return most
}
