// Package tiktoken counts tokens as OpenAI's models do.
package tiktoken

import (
	"strings"
	"sync"

	"agentapi/domain/chat"
	"agentapi/ports"
)

// Tokenizer is a ports.Tokenizer. What it counts by (about 15 MB for an encoding) is
// there from the first count on that needs it.
type Tokenizer struct {
	o200k, cl100k func() *encoding
}

var _ ports.Tokenizer = (*Tokenizer)(nil)

// New makes a Tokenizer; it loads nothing.
func New() *Tokenizer {
	return &Tokenizer{
		o200k:  sync.OnceValue(func() *encoding { return load(o200k, nextCased) }),
		cl100k: sync.OnceValue(func() *encoding { return load(cl100k, nextPlain) }),
	}
}

// family is models by how their names begin, behind which there is nothing or one of a
// few characters.
type family struct {
	begins string
	then   string
	wide   bool // o200k
}

// families are OpenAI's models that chat.
var families = []family{
	{"gpt-4o", "-:", true}, {"chatgpt-4o", "-:", true}, {"gpt-4.1", "-:", true}, {"gpt-4.5", "-:", true},
	{"gpt-5", "-.:", true}, {"gpt-oss", "-:", true}, {"o1", "-:", true}, {"o3", "-:", true}, {"o4", "-:", true},
	{"gpt-4", "-:", false}, {"gpt-3.5", "-:", false}, {"gpt-35", "-:", false},
}

// Of knows OpenAI's families, whoever serves them (openai/gpt-4o, ft:gpt-4o:…).
func (t *Tokenizer) Of(model string) chat.Count {
	name := model[strings.LastIndexAny(model, "/,")+1:]
	name = strings.TrimPrefix(name, "ft:")
	for _, f := range families {
		rest, ok := strings.CutPrefix(name, f.begins)
		if !ok || rest != "" && !strings.ContainsRune(f.then, rune(rest[0])) {
			continue
		}
		if f.wide {
			return func(text string) int { return t.o200k().count(text) }
		}
		return func(text string) int { return t.cl100k().count(text) }
	}
	return nil
}
