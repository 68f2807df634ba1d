package configs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Alias configures who answers to a name.
type Alias struct {
	Targets  []string       `yaml:"targets" doc:"the agent/model that answer to the name, in order; they alone may stand in the alias's place, as a list"`
	Strategy string         `yaml:"strategy" doc:"how the first is chosen among those that are well: ordered, weighted (by chance, as weights say) or least_latency (whose answers begin the soonest); the others follow in their order"`
	Weights  map[string]int `yaml:"weights" doc:"by agent/model, how often it is chosen against the others; absent: 1; 0: it only stands in"`
	Sticky   []string       `yaml:"sticky" doc:"session, prompt_cache_key, user: requests that have one of these in common go to the same target; the first that a request has counts, and goes before the strategy"`
	Hedge    Hedge          `yaml:"hedge"`
}

// SetDefaults fills in what an alias may leave out.
func (a *Alias) SetDefaults() { a.Strategy, a.Hedge.MaxTokens = "ordered", 1024 }

// Shorthand is the field that a list in the alias's place stands for.
func (Alias) Shorthand() string { return "targets" }

// Hedge configures when a second target is asked beside one that takes long.
type Hedge struct {
	After     time.Duration `yaml:"after" doc:"how long the first may take before the second is asked too; who answers first wins, the other is ended and not billed; 0: never. Only for requests that are not streamed, offer no tools, and set max_tokens"`
	MaxTokens int           `yaml:"max_tokens" doc:"only requests that ask for no more than this"`
}

// Retry configures what is tried again.
type Retry struct {
	Again   int           `yaml:"again" doc:"how often an agent is asked again that could not be reached, where no other is left"`
	Backoff time.Duration `yaml:"backoff" doc:"the longest wait before that, which is drawn by chance; twice as long before each one that follows"`
	Most    time.Duration `yaml:"most" doc:"the longest wait of all"`
	Share   float64       `yaml:"share" doc:"what is tried again, with the same agent or another, in all is at most this share of the requests of the last 10 s; 0: without a bound"`
	Least   int           `yaml:"least" doc:"but so many in a second are always tried again"`
}

// validate says what is wrong with the alias at path; targets is where its targets
// stand, which may be path itself.
func (a *Alias) validate(path, targets string, agents []string, bad func(path, format string, args ...any)) {
	if len(a.Targets) == 0 {
		bad(path, "must name at least one agent/model")
	}
	for i, target := range a.Targets {
		at := fmt.Sprintf("%s[%d]", targets, i)
		name, model, ok := strings.Cut(target, "/")
		if !ok || model == "" {
			bad(at, "%q must be agent/model", target)
		} else if !slices.Contains(agents, name) {
			bad(at, "there is no agent %q%s", name, didYouMean(name, agents))
		}
		if slices.Contains(a.Targets[:i], target) {
			bad(at, "%q is there already", target)
		}
	}
	if have := []string{"ordered", "weighted", "least_latency"}; !slices.Contains(have, a.Strategy) {
		bad(path+".strategy", "%q is none of %s", a.Strategy, strings.Join(have, ", "))
	}
	if len(a.Weights) > 0 && a.Strategy != "weighted" && len(a.Sticky) == 0 {
		bad(path+".weights", "count only with the strategy weighted, or with sticky")
	}
	for _, target := range slices.Sorted(maps.Keys(a.Weights)) {
		if !slices.Contains(a.Targets, target) {
			bad(path+".weights."+target, "is none of the targets%s", didYouMean(target, slices.Clone(a.Targets)))
		}
		if w := a.Weights[target]; w < 0 || w > 1000 {
			bad(path+".weights."+target, "must be between 0 and 1000")
		}
	}
	for i, bond := range a.Sticky {
		if have := []string{"session", "prompt_cache_key", "user"}; !slices.Contains(have, bond) {
			bad(fmt.Sprintf("%s.sticky[%d]", path, i), "%q is none of %s", bond, strings.Join(have, ", "))
		}
	}
	if a.Hedge.MaxTokens < 1 {
		bad(path+".hedge.max_tokens", "must be at least 1")
	}
}

func (r *Retry) validate(bad func(path, format string, args ...any)) {
	if r.Again < 0 || r.Again > 10 {
		bad("routing.retry.again", "must be between 0 and 10")
	}
	if r.Most < r.Backoff {
		bad("routing.retry.most", "must be at least backoff, which is %v", r.Backoff)
	}
	if r.Share < 0 || r.Share > 10 {
		bad("routing.retry.share", "must be between 0 and 10; 0.2 is a fifth")
	}
	if r.Least < 0 {
		bad("routing.retry.least", "must be at least 0")
	}
}
