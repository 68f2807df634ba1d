package porttest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"unicode/utf8"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// record is what a sequence yielded.
type record struct {
	events     []chat.Event
	err        error
	assembler  chat.Assembler
	completion chat.Completion
}

func runToEnd(ctx context.Context, t *testing.T, a ports.Agent, task agent.Task) record {
	t.Helper()
	return collect(t, a.Run(ctx, task))
}

func collect(t *testing.T, events ports.Events) record {
	t.Helper()
	var r record
	for e, err := range events {
		r.add(t, e, err)
	}
	r.completion = r.assembler.Completion()
	if r.err == nil && !r.assembler.Finished() {
		t.Error("the sequence ended with neither Finished nor an error")
	}
	return r
}

// add takes an element and checks what must hold of each. Of a flood only the
// first events are kept.
func (r *record) add(t *testing.T, e chat.Event, err error) {
	t.Helper()
	const kept = 10_000
	if r.err != nil {
		t.Errorf("an element came after the error: %+v, %v", e, err)
		return
	}
	if err != nil {
		r.err = err
		var f *fault.Error
		if !errors.As(err, &f) || f.Message == "" {
			t.Errorf("the error is no fault with a message: %#v", err)
		}
		if e.Kind != 0 || e.Text != "" || e.Call != nil || e.Usage != nil || e.Native != nil {
			t.Errorf("an event came with the error: %+v", e)
		}
		return
	}
	if !utf8.ValidString(e.Text) {
		t.Errorf("the text %q is not UTF-8", e.Text)
	}
	if (e.Kind == chat.Used) != (e.Usage != nil) || (e.Kind == chat.Called) != (e.Call != nil) || (e.Kind == chat.Stopped) != (e.Reason != "") {
		t.Errorf("the fields do not fit the kind: %+v", e)
	}
	if err := r.assembler.Add(e); err != nil {
		t.Errorf("event %d, %+v: %v", len(r.events), e, err)
	}
	e.Native = slices.Clone(e.Native)
	if len(r.events) < kept {
		r.events = append(r.events, e)
	}
}

// content tells whether the answer had begun.
func (r *record) content() bool {
	return slices.ContainsFunc(r.events, func(e chat.Event) bool { return e.Kind.Content() })
}

func (r *record) text() string { return r.completion.Choices[0].Message.Text() }

// checkOrder checks what the assembler does not: that the session is told first
// and once, and what a call and a reason may be.
func (r *record) checkOrder(t *testing.T) {
	t.Helper()
	for i, e := range r.events {
		switch e.Kind {
		case chat.Started:
			if i > 0 {
				t.Errorf("Started came as event %d", i)
			}
		case chat.Stopped:
			switch e.Reason {
			case chat.Stop, chat.Length, chat.ToolCalls, chat.ContentFilter, chat.FunctionCall:
			default:
				t.Errorf("a choice stopped for %q", e.Reason)
			}
		case chat.Used:
			if u := e.Usage; u.Prompt < 0 || u.Completion < 0 || u.Cached > u.Prompt || u.Reasoning > u.Completion {
				t.Errorf("the usage makes no sense: %+v", *u)
			}
		}
	}
	for i, c := range r.completion.Choices {
		for _, call := range c.Message.ToolCalls {
			if call.ID == "" || call.Name == "" {
				t.Errorf("choice %d calls a tool without id or name: %+v", i, call)
			}
		}
	}
}

// checkNative checks that what rides along is complete and well-formed.
func (r *record) checkNative(t *testing.T, stream bool) {
	t.Helper()
	carried, open := 0, false
	for i, e := range r.events {
		last := i == len(r.events)-1
		switch {
		case e.Held && (e.Native != nil || last):
			t.Errorf("event %d is held, and carries bytes or is the last: %+v", i, e)
		case e.Held:
			open = true
			continue
		case e.Native == nil && e.Kind.Content() && !last:
			t.Errorf("event %d of a native answer is neither carried nor held: %+v", i, e)
		}
		if e.Native == nil {
			continue
		}
		open = false
		carried++
		var members map[string]json.RawMessage
		text := slices.Concat([]byte("{"), e.Native, []byte("}"))
		if e.Kind == chat.Used {
			text = e.Native
		}
		if err := json.Unmarshal(text, &members); err != nil {
			t.Errorf("event %d carries %q: %v", i, e.Native, err)
			continue
		}
		if e.Kind == chat.Used {
			continue
		}
		taken := []string{"id", "object", "created", "model"}
		if stream {
			taken = append(taken, "usage")
		}
		for _, name := range taken {
			if _, there := members[name]; there {
				t.Errorf("event %d carries %s, which the writer adds", i, name)
			}
		}
		if _, there := members["choices"]; !there {
			t.Errorf("event %d carries no choices", i)
		}
	}
	if open {
		t.Error("an event was held to the end")
	}
	if carried == 0 {
		t.Error("no event carries anything native")
	}
}
