package completion_test

import (
	"context"
	"slices"
	"testing"

	"agentapi/application/completion"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/session"
)

// parrot answers with the last thing said, and knows how much it was told.
func parrot() *scripted {
	return &scripted{run: func(_ context.Context, task agent.Task, yield func(chat.Event, error) bool) {
		last := task.Messages[len(task.Messages)-1]
		_ = yield(chat.Event{Kind: chat.Started, Text: "native-" + task.Session.Native}, nil) &&
			yield(text(last.Text()+"!"), nil) && yield(stopped, nil) && yield(finished, nil)
	}}
}

func TestAConversationGoesOnUnderItsKey(t *testing.T) {
	h := build(t, parrot())
	key := completion.Conversation{Key: session.Key{Source: "x-session-id", Value: "chat-1"}}
	say := func(c completion.Conversation, msgs ...string) *completion.Whole {
		t.Helper()
		cmd := h.ask(msgs...)
		cmd.Conversation = c
		w, err := h.Complete(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	first := say(key, "a")
	if first.How != session.Fresh {
		t.Errorf("the first answer is %s", first.How)
	}
	second := say(key, "a", "a!", "b")
	if second.How != session.Resumed || second.Session != first.Session {
		t.Errorf("the transcript goes on as %s in %s", second.How, second.Session)
	}
	own := completion.Conversation{ID: first.Session}
	if third := say(own, "c"); third.How != session.Resumed || third.Session != first.Session {
		t.Errorf("one message under our id goes on as %s in %s", third.How, third.Session)
	}
	want := []string{"user: a", "assistant: a!", "user: b", "assistant: b!", "user: c", "assistant: c!"}
	if got := h.turns(t, first.Session); !slices.Equal(got, want) {
		t.Errorf("stored: %q", got)
	}
	fork := say(key, "A", "a!", "b")
	if fork.How != session.Forked || fork.Session == first.Session {
		t.Errorf("an edited transcript goes on as %s in %s", fork.How, fork.Session)
	}
	if got := h.turns(t, first.Session); !slices.Equal(got, want) {
		t.Errorf("the fork changed the session: %q", got)
	}
	if next := say(key, "A", "a!", "b", "b!", "d"); next.How != session.Resumed || next.Session != fork.Session {
		t.Errorf("the key did not go with the fork: %s in %s", next.How, next.Session)
	}
}

func TestTheAgentsOwnSessionComesBackToIt(t *testing.T) {
	var natives []string
	p := parrot()
	inner := p.run
	p.run = func(ctx context.Context, task agent.Task, yield func(chat.Event, error) bool) {
		natives = append(natives, task.Session.Native)
		inner(ctx, task, yield)
	}
	h := build(t, p)
	w, err := h.Complete(t.Context(), h.ask("a"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := h.ask("b")
	cmd.Conversation.ID = w.Session
	if _, err := h.Complete(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(natives, []string{"", "native-"}) {
		t.Errorf("got %q", natives)
	}
}

func TestASessionOfSomebodyElseIsNotFound(t *testing.T) {
	h := build(t, parrot())
	w, err := h.Complete(t.Context(), h.ask("a"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := h.ask("b")
	cmd.Caller = caller(t, "bob")
	cmd.Conversation.ID = w.Session
	if _, err := h.Complete(t.Context(), cmd); fault.As(err) == nil || fault.As(err).Code != "session_not_found" {
		t.Errorf("got %v", err)
	}
}

func TestASessionTakesOneTurnAtATime(t *testing.T) {
	h := build(t, says(text("a"), stopped, finished))
	w, err := h.Complete(t.Context(), h.ask("hi"))
	if err != nil {
		t.Fatal(err)
	}
	open := h.stream("more")
	open.Conversation.ID = w.Session
	r, err := h.Begin(t.Context(), open)
	if err != nil {
		t.Fatal(err)
	}
	second := h.ask("more")
	second.Conversation.ID = w.Session
	if _, err := h.Complete(t.Context(), second); fault.As(err) == nil || fault.As(err).Code != "session_busy" {
		t.Errorf("got %v", err)
	}
	if _, err := drain(r); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Complete(t.Context(), second); err != nil {
		t.Errorf("the turn was not given back: %v", err)
	}
}
