package completion_test

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/application/completion"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// slowly gives an agent that says the events, each a second after the one
// before, and the time at which it ended.
func slowly(events ...chat.Event) (*scripted, *time.Time) {
	ended := new(time.Time)
	return &scripted{run: func(ctx context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
		defer func() { *ended = time.Now() }()
		for _, e := range events {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				yield(chat.Event{}, fault.Wrap(fault.Canceled, context.Cause(ctx), "It was cancelled."))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}}, ended
}

// listen takes n events of a reply, or all.
func listen(t *testing.T, r *completion.Reply, n int) (events []chat.Event) {
	t.Helper()
	for len(events) < n {
		e, err, ok := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		e.More = false
		events = append(events, e)
	}
	return events
}

const all = 1 << 20

func TestWhoRepeatsARunningStreamGetsAllOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := slowly(text("a"), text("b"), text("c"), stopped, used, finished)
		h := build(t, a)
		r, err := h.Begin(t.Context(), keyed(h.stream("hi")))
		if err != nil {
			t.Fatal(err)
		}
		first := listen(t, r, 2)
		j, err := h.Begin(t.Context(), keyed(h.stream("hi")))
		if err != nil {
			t.Fatal(err)
		}
		if !j.Replayed || r.Replayed || j.ID != r.ID || j.Session != r.Session {
			t.Errorf("the heads are %+v and %+v", r.Head, j.Head)
		}
		var (
			wg    sync.WaitGroup
			again []chat.Event
		)
		wg.Go(func() { again = listen(t, j, all) })
		first = append(first, listen(t, r, all)...)
		wg.Wait()
		r.Close()
		j.Close()
		if !reflect.DeepEqual(first, again) || len(first) != 6 {
			t.Errorf("got\n%+v\n%+v", first, again)
		}
		if n, _ := h.booked(t); n != 1 || a.runs.Load() != 1 || len(h.turns(t, r.Session)) != 2 {
			t.Errorf("booked %d times, run %d times", n, a.runs.Load())
		}
		late, err := h.Begin(t.Context(), keyed(h.stream("hi")))
		if err != nil || !reflect.DeepEqual(listen(t, late, all), first) || a.runs.Load() != 1 {
			t.Errorf("afterwards: %v", err)
		}
		late.Close()
	})
}

func TestWhoAsksBeforeTheFirstEventWaitsForItToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := slowly(text("a"), stopped, finished)
		h := build(t, a)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				r, err := h.Begin(t.Context(), keyed(h.stream("hi")))
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				if got := listen(t, r, all); len(got) != 4 { // with what is counted
					t.Errorf("got %+v", got)
				}
			})
		}
		wg.Wait()
		if a.runs.Load() != 1 {
			t.Errorf("the agent ran %d times", a.runs.Load())
		}
	})
}

func TestARunLastsAsLongAsSomebodyListens(t *testing.T) {
	for name, leaves := range map[string][]int{"the first leaves": {0}, "the second leaves": {1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _ := slowly(text("a"), text("b"), text("c"), stopped, finished)
				h := build(t, a)
				replies, cancels := pair(t, h)
				for _, n := range leaves {
					listen(t, replies[n], 1)
					cancels[n]()
					synctest.Wait()
					replies[n].Close()
				}
				stays := replies[1-leaves[0]]
				if got := listen(t, stays, all); len(got) != 6 {
					t.Errorf("got %+v", got)
				}
				stays.Close()
				if n, _ := h.booked(t); n != 1 || len(h.turns(t, stays.Session)) != 2 {
					t.Errorf("booked %d times", n)
				}
			})
		})
	}
}

func TestARunEndsWhenTheLastHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, ended := slowly(text("a"), text("b"), text("c"), stopped, finished)
		h := build(t, a)
		replies, cancels := pair(t, h)
		var wg sync.WaitGroup
		wg.Go(func() { // waits for the agent while its client leaves
			defer replies[0].Close()
			for {
				if _, err, ok := replies[0].Next(); err != nil || !ok {
					return
				}
			}
		})
		time.Sleep(500 * time.Millisecond)
		cancels[0]()
		cancels[1]()
		left := time.Now()
		replies[1].Close()
		wg.Wait()
		if ended.Sub(left) != 0 {
			t.Errorf("the agent ended %v after the last client", ended.Sub(left))
		}
		again, err := h.Begin(t.Context(), keyed(h.stream("other")))
		if err != nil {
			t.Fatalf("the key is not given back: %v", err)
		}
		again.Close()
	})
}

func TestWhoWasWritingWhenAllLeftIsToldThatItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := slowly(text("a"), text("b"), text("c"), stopped, finished)
		h := build(t, a)
		replies, cancels := pair(t, h)
		for i, r := range replies {
			listen(t, r, 1)
			cancels[i]() // as the end of the server's drain does
		}
		synctest.Wait()
		replies[0].Close()
		if e, err, ok := replies[1].Next(); !fault.Is(err, fault.Canceled) || !ok {
			t.Errorf("got %+v, %v, %v", e, err, ok)
		}
		if e, err, ok := replies[1].Next(); err != nil || ok {
			t.Errorf("afterwards: %+v, %v, %v", e, err, ok)
		}
		replies[1].Close()
	})
}

func TestWhoLeavesIsStillGivenWhatWasTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := slowly(text("a"), text("b"), text("c"), stopped, finished)
		h := build(t, a)
		replies, cancels := pair(t, h)
		want := listen(t, replies[0], all)
		cancels[1]()
		synctest.Wait()
		if got := listen(t, replies[1], all); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v", got)
		}
		for _, r := range replies {
			r.Close()
		}
	})
}

func TestASlowListenerHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := slowly(text("a"), text("b"), text("c"), stopped, finished)
		h := build(t, a)
		replies, _ := pair(t, h)
		begun := time.Now()
		fast := listen(t, replies[1], all) // the first takes nothing
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if slow := listen(t, replies[0], all); !reflect.DeepEqual(fast, slow) {
			t.Errorf("got\n%+v\n%+v", fast, slow)
		}
		for _, r := range replies {
			r.Close()
		}
	})
}

func TestAFailureReachesAllWhoListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, fails(away, text("a")))
		replies, _ := pair(t, h)
		for _, r := range replies {
			events, err := drain(r)
			if !fault.Is(err, fault.Unavailable) || len(events) != 1 {
				t.Errorf("got %+v, %v", events, err)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		a := &scripted{run: func(_ context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
			time.Sleep(time.Second)
			yield(chat.Event{}, away)
		}}
		h := build(t, a)
		var (
			wg   sync.WaitGroup
			errs = make([]error, 2)
		)
		for i := range errs {
			wg.Go(func() { _, errs[i] = h.Begin(t.Context(), keyed(h.stream("hi"))) })
		}
		wg.Wait()
		if slices.Contains(errs, nil) || !fault.Is(errs[0], fault.Unavailable) || !fault.Is(errs[1], fault.Unavailable) || a.runs.Load() != 1 {
			t.Errorf("got %v; the agent ran %d times", errs, a.runs.Load())
		}
	})
}

func TestAnotherCallersStreamCannotBeJoined(t *testing.T) {
	h := build(t, says(text("a"), stopped, finished))
	r, err := h.Begin(t.Context(), keyed(h.stream("hi")))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	other := keyed(h.stream("hi"))
	other.Caller = caller(t, "bob")
	j, err := h.Begin(t.Context(), other)
	if err != nil || j.ID == r.ID || j.Replayed {
		t.Errorf("got %+v, %v", j, err)
	}
	j.Close()
}

// takesTime is a storage in which a claim takes a second, as one that is far away.
type takesTime struct{ ports.Storage }

func (s takesTime) Idempotency() ports.Idempotency { return slowClaims{s.Storage.Idempotency()} }

type slowClaims struct{ ports.Idempotency }

func (c slowClaims) Claim(ctx context.Context, in tenancy.Scope, claim idempotency.Claim) (idempotency.Outcome, error) {
	time.Sleep(time.Second)
	return c.Idempotency.Claim(ctx, in, claim)
}

func TestAFinishedStreamIsRepeatedToAllWhoAskAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := build(t, says(text("a"), text("b"), text("c"), stopped, used, finished))
		r, err := h.Begin(t.Context(), keyed(h.stream("hi")))
		if err != nil {
			t.Fatal(err)
		}
		want := listen(t, r, all)
		r.Close()
		h.storage.Storage = takesTime{h.storage.Storage}
		for range 50 {
			var wg sync.WaitGroup
			for i := range 3 {
				wg.Go(func() {
					ctx, leave := context.WithCancel(t.Context())
					defer leave()
					if i == 2 { // leaves at the moment at which the others have their answers
						time.AfterFunc(time.Second, leave)
					}
					again, err := h.Begin(ctx, keyed(h.stream("hi")))
					if i == 2 && fault.Is(err, fault.Canceled) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					defer again.Close()
					if got := listen(t, again, all); !again.Replayed || !reflect.DeepEqual(got, want) {
						t.Errorf("got %+v", got)
					}
				})
			}
			wg.Wait()
		}
	})
}

// pair begins a stream and joins it, each with a client that can leave.
func pair(t *testing.T, h *house) (replies []*completion.Reply, cancels []context.CancelFunc) {
	t.Helper()
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := h.Begin(ctx, keyed(h.stream("hi")))
		if err != nil {
			t.Fatal(err)
		}
		replies, cancels = append(replies, r), append(cancels, cancel)
	}
	return replies, cancels
}

func TestWhatAnSDKSendsAgainIsNotRunAgain(t *testing.T) {
	a := says(text("a"), stopped, finished)
	h := build(t, a)
	h.Retries = h.cache
	ask := func(request string, attempt int) completion.Command {
		c := h.ask("hi")
		c.RequestID, c.Attempt = request, attempt
		return c
	}
	ids := map[string]string{}
	for _, c := range []struct {
		request string
		attempt int
		runs    int32
	}{
		{"req_1", 1, 1}, {"req_2", 2, 1}, {"req_3", 3, 1}, // one request
		{"req_4", 1, 2},                  // meant anew
		{"req_5", 2, 3},                  // a retry of either: nobody can tell
		{"req_6", 0, 4}, {"req_7", 0, 5}, // whoever says nothing
	} {
		w, err := h.Complete(t.Context(), ask(c.request, c.attempt))
		if err != nil {
			t.Fatal(err)
		}
		if a.runs.Load() != c.runs || w.Replayed != (c.runs == 1 && c.attempt > 1) {
			t.Errorf("%s: the agent ran %d times, replayed %v", c.request, a.runs.Load(), w.Replayed)
		}
		ids[c.request] = w.ID
	}
	if ids["req_1"] != ids["req_3"] || ids["req_1"] == ids["req_4"] || ids["req_5"] == ids["req_1"] || ids["req_5"] == ids["req_4"] {
		t.Errorf("the answers are %v", ids)
	}
	other := ask("req_8", 2)
	other.Caller = caller(t, "bob")
	if w, err := h.Complete(t.Context(), other); err != nil || w.Replayed {
		t.Errorf("another caller's: %+v, %v", w, err)
	}
	h.Retries = nil
	if w, err := h.Complete(t.Context(), ask("req_9", 2)); err != nil || w.Replayed {
		t.Errorf("switched off: %+v, %v", w, err)
	}
}
