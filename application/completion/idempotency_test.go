package completion_test

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/application/completion"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
)

func keyed(c completion.Command) completion.Command {
	c.Key = "key-1"
	return c
}

func TestARepeatedRequestGetsItsFirstAnswer(t *testing.T) {
	a := says(text("a"), text("b"), chat.Event{Kind: chat.Stopped, Reason: chat.Stop, Native: []byte(`"choices":[1]`)}, used, finished)
	h := build(t, a)
	first, err := h.Complete(t.Context(), keyed(h.ask("hi")))
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Complete(t.Context(), keyed(h.ask("hi")))
	if err != nil {
		t.Fatal(err)
	}
	if !again.Replayed || a.runs.Load() != 1 {
		t.Errorf("replayed %v, the agent ran %d times", again.Replayed, a.runs.Load())
	}
	again.Replayed = false
	if !reflect.DeepEqual(first, again) {
		t.Errorf("got\n%+v\n%+v", first, again)
	}
	if n, _ := h.booked(t); n != 1 {
		t.Errorf("booked %d times", n)
	}
}

func TestARepeatedStreamGivesTheSameEvents(t *testing.T) {
	native := []byte(`"choices":[{"index":0}]`)
	a := &scripted{run: func(_ context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
		buf := bytes.Clone(native) // borrowed: it changes after the event
		_ = yield(chat.Event{Kind: chat.Text, Text: "a", Native: buf}, nil) && func() bool { clear(buf); return true }() &&
			yield(stopped, nil) && yield(finished, nil)
	}}
	h := build(t, a)
	run := func() (*completion.Reply, []chat.Event) {
		r, err := h.Begin(t.Context(), keyed(h.stream("hi")))
		if err != nil {
			t.Fatal(err)
		}
		var events []chat.Event
		for {
			e, err, ok := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			e.Native = bytes.Clone(e.Native)
			events = append(events, e)
		}
		r.Close()
		return r, events
	}
	r1, first := run()
	r2, again := run()
	if !reflect.DeepEqual(first, again) || r1.ID != r2.ID || !r2.Replayed || a.runs.Load() != 1 {
		t.Errorf("got\n%+v\n%+v", first, again)
	}
	if !bytes.Equal(again[0].Native, native) {
		t.Errorf("the bytes of the upstream are lost: %q", again[0].Native)
	}
}

func TestAKeyThatIsRunningOrUsedForAnotherBodyIsRefused(t *testing.T) {
	h := build(t, says(text("a"), stopped, finished))
	r, err := h.Begin(t.Context(), keyed(h.stream("hi")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Complete(t.Context(), keyed(h.stream("hi"))); !fault.Is(err, fault.Conflict) {
		t.Errorf("while it runs, for a whole answer: %v", err)
	}
	if _, err := h.Begin(t.Context(), keyed(h.stream("other"))); !fault.Is(err, fault.KeyReuse) {
		t.Errorf("with another body: %v", err)
	}
	if _, err := h.Complete(t.Context(), keyed(h.ask("other"))); !fault.Is(err, fault.KeyReuse) {
		t.Errorf("with another body: %v", err)
	}
	other := keyed(h.ask("other"))
	other.Caller = caller(t, "bob")
	if _, err := h.Complete(t.Context(), other); err != nil {
		t.Errorf("another caller's key is another key: %v", err)
	}
	if _, err := drain(r); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedRequestGivesItsKeyBack(t *testing.T) {
	a := fails(away)
	h := build(t, a)
	for range 2 {
		if _, err := h.Complete(t.Context(), keyed(h.ask("hi"))); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("got %v", err)
		}
	}
	if a.runs.Load() != 2 {
		t.Errorf("the agent ran %d times", a.runs.Load())
	}
}

func TestARefusalThatWouldBeRepeatedIsReplayed(t *testing.T) {
	a := fails(fault.Invalidf("messages", "invalid_value", "No."))
	h := build(t, a)
	for range 2 {
		_, err := h.Complete(t.Context(), keyed(h.ask("hi")))
		if f := fault.As(err); f == nil || f.Kind != fault.Invalid || f.Param != "messages" || f.Message != "No." {
			t.Fatalf("got %v", err)
		}
	}
	if a.runs.Load() != 1 {
		t.Errorf("the agent ran %d times", a.runs.Load())
	}
}

func TestOldResultsAreNotReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := says(text("a"), stopped, finished)
		h := build(t, a)
		for _, wait := range []time.Duration{0, idempotency.Keep + 2*time.Hour} {
			time.Sleep(wait)
			if _, err := h.Complete(t.Context(), keyed(h.ask("hi"))); err != nil {
				t.Fatal(err)
			}
		}
		if a.runs.Load() != 2 {
			t.Errorf("the agent ran %d times", a.runs.Load())
		}
		if err := h.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
