package agent

import (
	"fmt"
	"slices"
	"strings"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// Candidate is an agent that may answer, and its id of the model.
type Candidate struct {
	Agent Name
	Model string
}

// String is the candidate as a caller may ask for it.
func (c Candidate) String() string { return string(c.Agent) + "/" + c.Model }

// Route is the candidates for a request, best first, without duplicates.
type Route struct {
	Candidates []Candidate
	Via        string // how it was resolved: alias, default, or agent
	Plan       Plan
	Passed     []Considered // who answers to the name and may not be asked
}

// Pass takes out of the route whom a verdict is found for; an empty one leaves them.
func (r *Route) Pass(judge func(Candidate) (Verdict, string)) {
	all, whole := r.Candidates, true
	for i, c := range all {
		switch v, why := judge(c); {
		case v != "":
			if whole {
				r.Candidates, whole = slices.Clone(all[:i]), false // others share them
			}
			r.Passed = append(r.Passed, Considered{c, v, why})
		case !whole:
			r.Candidates = append(r.Candidates, c)
		}
	}
}

// Unfit says why an agent with these capabilities cannot serve the request, as
// fault.Unsupported with the parameter; nil when it can. It never drops a
// parameter silently: see Ignored for those that are only reported.
func (c Capabilities) Unfit(name Name, r *chat.Request) error {
	no := func(param, code, what string) error {
		return fault.New(fault.Unsupported, "The agent %s does not support %s.", name, what).WithCode(code).WithParam(param)
	}
	if len(r.Unknown) > 0 && !c.Raw {
		return fault.New(fault.Unsupported, "Unknown parameter: '%s'.", r.Unknown[0]).WithCode("unknown_parameter").WithParam(r.Unknown[0]).
			WithHint(fmt.Sprintf("The agent %s takes only the parameters that it knows.", name))
	}
	if len(r.Special) > 0 && !c.Raw {
		return no(r.Special[0], "unsupported_parameter", r.Special[0])
	}
	if len(r.Tools) > 0 && !c.Tools {
		return no("tools", "unsupported_parameter", "tools that the client runs")
	}
	if r.N > 1 && !c.Choices {
		return no("n", "unsupported_value", "more than one choice (n must be 1)")
	}
	if r.Format.Kind != "" && r.Format.Kind != chat.PlainText && !c.Schema {
		return no("response_format", "unsupported_parameter", "response_format")
	}
	if !c.Media {
		for i := range r.Messages {
			for j, p := range r.Messages[i].Parts {
				if p.Kind != chat.TextPart && p.Kind != chat.RefusalPart {
					return no(fmt.Sprintf("messages[%d].content[%d]", i, j), "unsupported_value", "content of type "+string(p.Kind))
				}
			}
		}
	}
	return nil
}

// Ignored names the given parameters that an agent with these capabilities does
// not honour and that change nothing but the manner of the answer. They are
// reported to the caller.
func (c Capabilities) Ignored(r *chat.Request) []string {
	if c.Raw {
		return nil
	}
	honoured := strings.Fields(c.Sampling)
	return slices.DeleteFunc(slices.Clone(r.Params), func(p string) bool {
		switch p {
		case "max_tokens", "max_completion_tokens", "stop":
			return c.MaxTokens
		case "n", "parallel_tool_calls", "tool_choice":
			return true
		default:
			return slices.Contains(honoured, p)
		}
	})
}

// SplitModel takes "agent/model" apart where the text before the first slash is
// a known agent's name. The rest is verbatim and may hold slashes, colons and commas.
func SplitModel(s string, known func(Name) bool) (Candidate, bool) {
	head, rest, ok := strings.Cut(s, "/")
	if !ok || rest == "" || !known(Name(head)) {
		return Candidate{}, false
	}
	return Candidate{Agent: Name(head), Model: rest}, true
}

// Roomier tells whether a model is known to have more room than another one, which a prompt
// of about so many tokens was too long for.
func (m Model) Roomier(than Model, prompt int) bool { return m.Context > max(than.Context, prompt) }

// MayFailOver tells whether any other candidate may be tried after err; after
// fault.TooLong a Roomier one may. No event may have been delivered, which the caller
// knows.
func MayFailOver(err error) bool {
	k := fault.KindOf(err)
	return k.Retryable() || k == fault.Unsupported
}
