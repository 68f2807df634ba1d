package completion

import (
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/ports"
)

// try begins to note how a candidate does.
func (r *run) try(c agent.Candidate) {
	r.tried = append(r.tried, ports.Tried{Agent: c.Agent, Model: c.Model})
	r.asked, r.trying = r.s.Now(), true
}

// speak notes the candidate's first words.
func (r *run) speak() {
	// A clock that has not moved must not make words unsaid.
	r.tried[len(r.tried)-1].First = max(r.s.Now().Sub(r.asked), time.Nanosecond)
}

// tell ends the note of the candidate that was asked last, where it has not ended yet.
func (r *run) tell(err error, tokens chat.Usage) {
	if !r.trying {
		return
	}
	r.trying = false
	t := &r.tried[len(r.tried)-1]
	t.Took, t.Err, t.Usage = r.s.Now().Sub(r.asked), err, tokens
	t.Cost = r.s.Budgets.Cost(agent.Candidate{Agent: t.Agent, Model: t.Model}, tokens)
}
