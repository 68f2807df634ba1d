package completion

import (
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// begin notes that a candidate is asked, and gives its place among those that were.
func (r *run) begin(c agent.Candidate, hedge bool) int {
	if r.tried == nil {
		r.tried = r.first[:0]
	}
	r.tried = append(r.tried, ports.Tried{Agent: c.Agent, Model: c.Model, Hedge: hedge, Began: r.s.Now()})
	return len(r.tried) - 1
}

// conclude ends the note of the attempt at a place, where it has not ended yet.
func (r *run) conclude(at int, err error, tokens chat.Usage) {
	t := &r.tried[at]
	if t.Took > 0 {
		return
	}
	t.Took, t.Err, t.Usage = r.since(t.Began), err, tokens
	t.Cost = r.s.Budgets.Cost(agent.Candidate{Agent: t.Agent, Model: t.Model}, tokens)
}

// concludeAll ends the notes of all attempts when the run ends: the one that answers comes
// to what the run does, and others were not waited for.
func (r *run) concludeAll(err error) {
	for at := range r.tried {
		if at == r.attempt {
			r.conclude(at, err, r.answer.Usage)
		} else {
			r.conclude(at, outrun(), chat.Usage{})
		}
	}
}

// outrun is what became of a candidate that another was faster than.
func outrun() error { return fault.New(fault.Canceled, "Another agent was faster.") }

// since is never nothing: a clock that has not moved must not make what was, not be.
func (r *run) since(at time.Time) time.Duration { return max(r.s.Now().Sub(at), time.Nanosecond) }
