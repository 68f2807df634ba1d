package tenancy

import (
	"slices"
	"strings"

	"agentapi/domain/fault"
)

// Models are names of models that may be asked for, one to a line: as asked for, as
// agent/model, or the beginning of one and a *. Empty: all may.
type Models string

// MaxModels is how many names there may be.
const MaxModels = 100

// NewModels makes Models of names. fault.Invalid.
func NewModels(names []string) (Models, error) {
	if len(names) > MaxModels {
		return "", fault.Invalidf("models", "invalid_value", "models may have %d entries.", MaxModels)
	}
	for _, m := range names {
		if badPattern(m) {
			return "", fault.Invalidf("models", "invalid_value", "An allowed model is its name, agent/model, or the beginning of one and a *.")
		}
	}
	sorted := slices.Sorted(slices.Values(names))
	return Models(strings.Join(slices.Compact(sorted), "\n")), nil
}

// Names are the single names, sorted; nil: all may be asked for.
func (m Models) Names() []string {
	if m == "" {
		return nil
	}
	return strings.Split(string(m), "\n")
}

// Allow tells whether a model may be asked for, by any of its names.
func (m Models) Allow(names ...string) bool {
	return m == "" || slices.ContainsFunc(m.Names(), func(pattern string) bool { return matches(pattern, names) })
}

func badPattern(m string) bool {
	return m == "" || len(m) > maxPattern || containsControl(m) || strings.Contains(strings.TrimSuffix(m, "*"), "*")
}

func matches(pattern string, names []string) bool {
	prefix, wild := strings.CutSuffix(pattern, "*")
	return slices.ContainsFunc(names, func(name string) bool { return name == pattern || wild && strings.HasPrefix(name, prefix) })
}
