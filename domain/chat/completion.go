package chat

import (
	"strings"

	"agentapi/domain/fault"
)

// Completion is a whole answer.
type Completion struct {
	Choices []Choice
	Usage   Usage  // zero and Estimated until the agent or we have counted
	Counted bool   // a Used event was seen
	Native  []byte // see Event.Native of Finished; nil where there is none
	Agent   string // the agent's own session id, if it has one
}

// Choice is one of the answers to a request with n > 1, or the only one.
type Choice struct {
	Message   Message
	Reasoning string
	Finish    FinishReason // empty while the choice is open
}

// Assembler folds events into a Completion. However the text was cut into
// pieces, the same Completion comes out. The zero value is ready; it is not for
// concurrent use.
type Assembler struct {
	choices  []open
	out      Completion
	finished bool
}

type open struct {
	text, thought, refusal joined
	calls                  []call
	finish                 FinishReason
}

type call struct {
	ToolCall
	args joined
}

// joined is a text that came in pieces. The only one is kept as it is.
type joined struct {
	first string
	all   *strings.Builder // nil: there are no more
}

func (j *joined) add(s string) {
	if j.first == "" {
		j.first = s
		return
	}
	if j.all == nil {
		j.all = new(strings.Builder)
		j.all.WriteString(j.first)
	}
	j.all.WriteString(s)
}

func (j *joined) String() string {
	if j.all == nil {
		return j.first
	}
	return j.all.String()
}

// maxChoices bounds what an agent can make us allocate by a wild choice index.
const (
	maxChoices = 128
	maxCalls   = 1024
)

// Add takes the next event. It fails with fault.Upstream where the order of
// events is broken: the agent, not the caller, is at fault.
func (a *Assembler) Add(e Event) error {
	if a.finished {
		return fault.New(fault.Upstream, "The agent went on after its answer had ended.")
	}
	switch e.Kind {
	case Started:
		if e.Text != "" {
			a.out.Agent = e.Text
		}
	case Used:
		a.out.Usage, a.out.Counted = *e.Usage, true
	case Finished:
		if len(a.choices) == 0 {
			return fault.New(fault.Upstream, "The agent gave an empty answer.")
		}
		for i := range a.choices {
			if a.choices[i].finish == "" {
				return fault.New(fault.Upstream, "The agent's answer ended without a finish reason.").WithCode("stream_truncated")
			}
		}
		a.finished, a.out.Native = true, e.Native
	case Acted:
	default:
		return a.addTo(e)
	}
	return nil
}

func (a *Assembler) addTo(e Event) error {
	if e.Choice < 0 || e.Choice >= maxChoices {
		return fault.New(fault.Upstream, "The agent answered with a choice that nobody asked for.")
	}
	for len(a.choices) <= e.Choice {
		a.choices = append(a.choices, open{})
	}
	c := &a.choices[e.Choice]
	if c.finish != "" {
		return fault.New(fault.Upstream, "The agent went on with a choice after its end.")
	}
	switch e.Kind {
	case Text:
		c.text.add(e.Text)
	case Thought:
		c.thought.add(e.Text)
	case Refused:
		c.refusal.add(e.Text)
	case Called:
		d := e.Call
		if d.Index < 0 || d.Index > len(c.calls) || d.Index >= maxCalls {
			return fault.New(fault.Upstream, "The agent's tool calls are out of order.")
		}
		if d.Index == len(c.calls) {
			c.calls = append(c.calls, call{ToolCall: ToolCall{ID: d.ID, Custom: d.Custom, Name: d.Name}})
		}
		c.calls[d.Index].args.add(d.Arguments)
	case Stopped:
		c.finish = e.Reason
	}
	return nil
}

// Finished tells whether the last event has come.
func (a *Assembler) Finished() bool { return a.finished }

// Completion gives what has come so far. It may be asked at any time.
func (a *Assembler) Completion() Completion {
	out := a.out
	out.Choices = make([]Choice, len(a.choices))
	for i := range a.choices {
		c := &a.choices[i]
		m := Message{Role: Assistant, Refusal: c.refusal.String()}
		if text := c.text.String(); text != "" || (len(c.calls) == 0 && m.Refusal == "") {
			m.Parts = []Part{{Kind: TextPart, Text: text}}
		}
		for j := range c.calls {
			t := c.calls[j].ToolCall
			t.Arguments = c.calls[j].args.String()
			m.ToolCalls = append(m.ToolCalls, t)
		}
		out.Choices[i] = Choice{Message: m, Reasoning: c.thought.String(), Finish: c.finish}
	}
	return out
}
