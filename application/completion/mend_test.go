package completion_test

import (
	"context"
	"testing"

	"agentapi/application/completion"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/session"
)

func TestAPanicFreesItsConversationAndItsKey(t *testing.T) {
	broken := true
	a := &scripted{run: func(_ context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
		if broken {
			panic("a defect")
		}
		_ = yield(text("well"), nil) && yield(stopped, nil) && yield(finished, nil)
	}}
	for name, ask := range map[string]func(h *house, cmd completion.Command) error{
		"whole": func(h *house, cmd completion.Command) error { _, err := h.Complete(t.Context(), cmd); return err },
		"stream": func(h *house, cmd completion.Command) error {
			cmd.Request.Stream = true
			r, err := h.Begin(t.Context(), cmd)
			if err == nil {
				r.Close()
			}
			return err
		},
	} {
		h := build(t, a)
		cmd := func() completion.Command {
			c := keyed(h.ask("hi"))
			c.Conversation.Key = session.Key{Source: "x", Value: "y"}
			return c
		}
		broken = true
		if err := ask(h, cmd()); !fault.Is(err, fault.Internal) {
			t.Errorf("%s: a panic is %v", name, err)
		}
		broken = false
		if err := ask(h, cmd()); err != nil {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
}

func TestAKeyBelongsToItsConversation(t *testing.T) {
	h := build(t, says(text("a"), stopped, finished))
	ask := func(raw string) completion.Command {
		c := keyed(h.ask("hi"))
		c.Request.Raw = []byte(raw)
		return c
	}
	if _, err := h.Complete(t.Context(), ask(`{"a":1,"b":[1.0,2]}`)); err != nil {
		t.Fatal(err)
	}
	other := ask(`{"a":1,"b":[1.0,2]}`)
	other.Conversation.Key = session.Key{Source: "x", Value: "y"}
	if _, err := h.Complete(t.Context(), other); !fault.Is(err, fault.KeyReuse) {
		t.Errorf("the same key in another conversation: %v", err)
	}
	if w, err := h.Complete(t.Context(), ask(`{"b": [1.0, 2], "a": 1}`)); err != nil || !w.Replayed {
		t.Errorf("the same request in another order: %v", err)
	}
}

func TestWhatFailedAttemptsUsedIsBooked(t *testing.T) {
	much := chat.Event{Kind: chat.Used, Usage: &chat.Usage{Prompt: 5000, Completion: 4000}}
	h := build(t, fails(away, text("half"), much), says(text("a"), used, stopped, finished))
	if _, err := h.Complete(t.Context(), h.ask("hi")); err != nil {
		t.Fatal(err)
	}
	if n, tokens := h.booked(t); n != 2 || tokens != 4002 {
		t.Errorf("booked %d records with %d tokens", n, tokens)
	}
}

func TestToolsAreAnsweredAcrossRequests(t *testing.T) {
	call := &chat.CallDelta{ID: "c1", Name: "f", Arguments: "{}"}
	h := build(t, says(chat.Event{Kind: chat.Called, Call: call}, chat.Event{Kind: chat.Stopped, Reason: chat.ToolCalls}, finished))
	first, err := h.Complete(t.Context(), h.ask("hi"))
	if err != nil {
		t.Fatal(err)
	}
	say := func(m chat.Message) error {
		cmd := h.ask("x")
		cmd.Request.Messages = []chat.Message{m}
		cmd.Conversation.ID = first.Session
		_, err := h.Complete(t.Context(), cmd)
		return err
	}
	if err := say(chat.NewMessage(chat.User, "and?")); !fault.Is(err, fault.Invalid) {
		t.Errorf("an open call was let pass: %v", err)
	}
	if err := say(chat.Message{Role: chat.Tool, ToolCallID: "c2", Parts: []chat.Part{{Kind: chat.TextPart, Text: "1"}}}); fault.As(err) == nil || fault.As(err).Param != "messages[0].tool_call_id" {
		t.Errorf("an answer to no call: %v", err)
	}
	if err := say(chat.Message{Role: chat.Tool, ToolCallID: "c1", Parts: []chat.Part{{Kind: chat.TextPart, Text: "1"}}}); err != nil {
		t.Errorf("the call's answer: %v", err)
	}
}
