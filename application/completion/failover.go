package completion

import (
	"strings"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

// failure is a candidate that gave no answer.
type failure struct {
	who agent.Candidate
	err error
}

// allFailed makes one error of the failures of all candidates. The kind is
// theirs where they agree; else an upstream is at fault.
func allFailed(all []failure) error {
	first := fault.As(all[0].err)
	if len(all) == 1 || first == nil {
		return all[0].err
	}
	kind, after := first.Kind, first.RetryAfter
	var said, causes strings.Builder
	for i, f := range all {
		e := fault.As(f.err)
		if e == nil {
			return f.err
		}
		if e.Kind != kind {
			kind = fault.Upstream
		}
		after = soonest(after, e.RetryAfter)
		if i > 0 {
			said.WriteString(" ")
			causes.WriteString("; ")
		}
		said.WriteString(f.who.String() + ": " + e.Message)
		causes.WriteString(f.who.String() + ": " + e.Error())
	}
	out := fault.Wrap(kind, text(causes.String()), "No agent could answer. %s", said.String()).WithRetryAfter(after)
	if kind == first.Kind {
		out = out.WithCode(first.Code)
	}
	return out
}

// text is an error that is nothing but its text.
type text string

func (t text) Error() string { return string(t) }

func soonest(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}
