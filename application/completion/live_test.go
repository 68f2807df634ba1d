package completion_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/application/completion"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/usage"
)

func everything(completion.Running) bool { return true }

// told checks that an error says who has ended the request.
func told(t *testing.T, err error) {
	t.Helper()
	if f := fault.As(err); f == nil || f.Kind != fault.Unavailable || f.Code != "request_ended" {
		t.Errorf("the client was told %v", err)
	}
}

func TestWhatRunsIsListedWhileItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := &scripted{}
		failing.run = func(_ context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
			<-time.After(time.Second)
			yield(chat.Event{}, away)
		}
		second, _ := slowly(text("a"), text("b"), stopped, finished)
		h := build(t, failing, second)
		phase := func(after time.Duration, want completion.Phase, by string, attempt int) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			all := h.Running()
			if len(all) != 1 || all[0].Phase != want || string(all[0].Agent) != by || all[0].Attempt != attempt ||
				all[0].Request != "req_1" || all[0].Org != h.caller.Org() || all[0].User != h.caller.User() || all[0].Session.IsZero() || all[0].Model != "m" {
				t.Errorf("there runs %+v", all)
			}
		}
		done := make(chan error, 1)
		go func() {
			_, err := h.Complete(t.Context(), h.ask("hi"))
			done <- err
		}()
		phase(500*time.Millisecond, completion.Waiting, "first", 1)
		phase(time.Second, completion.Waiting, "second", 2)
		phase(time.Second, completion.Answering, "second", 2)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if all := h.Running(); len(all) != 0 {
			t.Errorf("there still runs %+v", all)
		}
	})
}

func TestWhatHasEndedIsNotListed(t *testing.T) {
	panicking := &scripted{run: func(context.Context, agent.Task, func(chat.Event, error) bool) { panic("a defect") }}
	for name, a := range map[string]*scripted{"well": says(text("a"), stopped, finished), "failed": fails(away), "panicked": panicking} {
		h := build(t, a)
		for range 2 { // the second gets the first's answer
			cmd := h.ask("hi")
			cmd.Key = "k"
			_, _ = h.Complete(t.Context(), cmd)
			if r, err := h.Begin(t.Context(), h.stream("hi")); err == nil {
				_, _ = drain(r)
			}
		}
		if all := h.Running(); len(all) != 0 {
			t.Errorf("%s: there still runs %+v", name, all)
		}
	}
}

func TestARequestIsEndedByTheStopThatItComesWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked context.Context
		a := &scripted{run: func(ctx context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
			asked = ctx
			<-ctx.Done()
			yield(chat.Event{}, fault.Wrap(fault.Canceled, ctx.Err(), "It was ended."))
		}}
		h := build(t, a)
		ctx, stop := context.WithCancelCause(t.Context())
		cmd := h.ask("hi")
		cmd.Stop = stop
		done := make(chan error, 1)
		go func() {
			_, err := h.Complete(ctx, cmd)
			done <- err
		}()
		synctest.Wait()
		if ended := h.End(t.Context(), everything); len(ended) != 1 || len(h.Running()) != 0 {
			t.Errorf("ended was %+v", ended)
		}
		if told(t, <-done); asked != ctx || ctx.Err() == nil {
			t.Errorf("it was given another context than its own, which ended with %v", ctx.Err())
		}
	})
}

func TestARequestThatIsEndedIsGivenToNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := slowly(text("a"), text("b"), stopped, finished)
		other := says(text("x"), stopped, finished)
		h := build(t, a, other)
		for _, after := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond} {
			done := make(chan error, 1)
			go func() {
				_, err := h.Complete(t.Context(), h.ask("hi"))
				done <- err
			}()
			time.Sleep(after)
			if ended := h.End(t.Context(), everything); len(ended) != 1 || len(h.Running()) != 0 {
				t.Errorf("ended was %+v", ended)
			}
			told(t, <-done)
		}
		if other.runs.Load() != 0 || h.sessions(t) != 0 {
			t.Errorf("another agent was asked %d times; %d sessions are stored", other.runs.Load(), h.sessions(t))
		}
		records, err := h.storage.Usage().Records(t.Context(), h.caller.Scope(), usage.ID{}, 10)
		if err != nil || len(records) != 1 || records[0].Outcome != usage.Canceled { // of the one that had begun
			t.Errorf("booked is %+v, %v", records, err)
		}
		if ended := h.End(t.Context(), everything); len(ended) != 0 {
			t.Errorf("ended was %+v", ended)
		}
	})
}

func TestWhoShareAStreamAreAllToldThatItWasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := slowly(text("a"), text("b"), stopped, finished)
		h := build(t, a)
		var replies []*completion.Reply
		for range 3 {
			r, err := h.Begin(t.Context(), keyed(h.stream("hi")))
			if err != nil {
				t.Fatal(err)
			}
			replies = append(replies, r)
		}
		// They read nothing meanwhile, so it does not wait for them for ever.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if ended := h.End(ctx, func(r completion.Running) bool { return r.Request == "req_1" }); len(ended) != 1 || time.Since(began) != 3*time.Second {
			t.Errorf("ended was %+v after %v", ended, time.Since(began))
		}
		for _, r := range replies {
			_, err := drain(r)
			told(t, err)
		}
		if all := h.Running(); len(all) != 0 {
			t.Errorf("there still runs %+v", all)
		}
	})
}
