package completion

import (
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// conclude ends the note of the attempt at a place, where it has not ended yet.
func (r *run) conclude(at int, now time.Time, err error, tokens chat.Usage) {
	t := &r.tried[at]
	if t.Took > 0 {
		return
	}
	t.Took, t.Err, t.Usage = took(t.Began, now), err, tokens
	t.Cost = r.s.Budgets.Cost(agent.Candidate{Agent: t.Agent, Model: t.Model}, tokens)
}

// concludeAll ends the notes of all attempts when the run ends: the one that answers comes
// to what the run does, and others were not waited for.
func (r *run) concludeAll(err error) {
	now := r.s.Now()
	for at := range r.tried {
		if at == r.attempt {
			r.conclude(at, now, err, r.answer.Usage)
		} else {
			r.conclude(at, now, outrun(), chat.Usage{})
		}
	}
}

// outrun is what became of a candidate that another was faster than.
func outrun() error { return fault.New(fault.Canceled, "Another agent was faster.") }

// took is never nothing: a clock that has not moved must not make what was, not be.
func took(from, to time.Time) time.Duration { return max(to.Sub(from), time.Nanosecond) }
