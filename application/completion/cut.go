package completion

import (
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/ports"
)

// afforded ends an answer with "length" that would go on beyond what was set aside for
// it, by our own estimate of its tokens. An agent that holds itself to max_tokens is
// left to do so where the request has it. What an upstream has sent in one piece is not
// cut: it is used already.
func (r *run) afforded(events ports.Events, can agent.Capabilities) ports.Events {
	if r.hold == nil || can.MaxTokens && r.cmd.Request.MaxTokens > 0 {
		return events
	}
	left := r.s.Budgets.Bound(r.cmd.Request)
	return func(yield func(chat.Event, error) bool) {
		open := make(map[int]bool) // choices, by whether they go on
		for e, err := range events {
			if !yield(e, err) || err != nil {
				return
			}
			switch e.Kind {
			case chat.Text, chat.Thought, chat.Refused:
				open[e.Choice] = true
				left -= chat.EstimateTokens(e.Text)
			case chat.Called:
				open[e.Choice] = true
				left -= chat.EstimateTokens(e.Call.Arguments)
			case chat.Stopped:
				open[e.Choice] = false
			}
			if left < 0 && !e.Held && open[e.Choice] {
				r.cutOff(open, yield)
				return
			}
		}
	}
}

// cutOff ends the choices that are open, and the answer.
func (r *run) cutOff(open map[int]bool, yield func(chat.Event, error) bool) {
	for i := range max(1, r.cmd.Request.N) {
		if goes, begun := open[i]; (goes || !begun) && !yield(chat.Event{Kind: chat.Stopped, Choice: i, Reason: chat.Length}, nil) {
			return
		}
	}
	yield(chat.Event{Kind: chat.Finished}, nil)
}
