package guard

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"agentapi/adapters/agent/demo"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
	"agentapi/ports/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is an agent that does what a test says.
type scripted struct {
	ports.Agent
	run func(ctx context.Context, yield func(chat.Event, error) bool)
}

func (s *scripted) Run(ctx context.Context, _ agent.Task) ports.Events {
	return func(yield func(chat.Event, error) bool) { s.run(ctx, yield) }
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func drain(ctx context.Context, g *Guard) (last error) {
	for _, err := range g.Run(ctx, agent.Task{Model: "m"}) {
		last = err
	}
	return last
}

var policy = Policy{
	Concurrent: 2, Queue: time.Second, FirstEvent: 10 * time.Second, Idle: 5 * time.Second, Total: time.Minute,
	Failures: 3, Within: 30 * time.Second, Open: 15 * time.Second,
}

func TestTheGuardKeepsThePortsContract(t *testing.T) {
	var o demo.Options
	o.SetDefaults()
	d, err := demo.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	porttest.Agent(t, porttest.AgentBench{
		Answering: func(*testing.T) ports.Agent {
			return New("a", d, Policy{Concurrent: 32, FirstEvent: time.Minute, Total: time.Minute})
		},
		FailingAtStart: func(*testing.T) ports.Agent {
			return New("a", &scripted{d, func(_ context.Context, yield func(chat.Event, error) bool) {
				yield(chat.Event{}, fault.New(fault.Upstream, "It broke."))
			}}, policy)
		},
		Stalling: func(*testing.T) ports.Agent {
			return New("a", &scripted{d, func(ctx context.Context, yield func(chat.Event, error) bool) {
				<-ctx.Done()
				yield(chat.Event{}, ended(ctx))
			}}, policy)
		},
		Model: "echo", Echoes: true,
	})
}

func TestAnAgentHasItsTimeAndNoMore(t *testing.T) {
	text := chat.Event{Kind: chat.Text, Text: "x"}
	for name, c := range map[string]struct {
		run   func(ctx context.Context, yield func(chat.Event, error) bool)
		slow  time.Duration // of the consumer, at each event
		after time.Duration // 0: it is well
	}{
		"it never begins": {func(ctx context.Context, _ func(chat.Event, error) bool) { <-ctx.Done() }, 0, 10 * time.Second},
		"it says only that it started": {func(ctx context.Context, yield func(chat.Event, error) bool) {
			yield(chat.Event{Kind: chat.Started}, nil)
			<-ctx.Done()
		}, 0, 10 * time.Second},
		"it falls silent": {func(ctx context.Context, yield func(chat.Event, error) bool) {
			yield(text, nil)
			<-ctx.Done()
		}, 0, 5 * time.Second},
		"it never ends": {func(ctx context.Context, yield func(chat.Event, error) bool) {
			for sleep(ctx, time.Second) && yield(text, nil) {
			}
		}, 0, time.Minute},
		"it is slow, but not too slow": {func(ctx context.Context, yield func(chat.Event, error) bool) {
			for range 5 {
				if !sleep(ctx, 4*time.Second) || !yield(text, nil) {
					return
				}
			}
			yield(chat.Event{Kind: chat.Finished}, nil)
		}, 0, 0},
		"the consumer is slow": {func(_ context.Context, yield func(chat.Event, error) bool) {
			_ = yield(text, nil) && yield(text, nil) && yield(chat.Event{Kind: chat.Finished}, nil)
		}, 12 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := New("a", &scripted{nil, func(ctx context.Context, yield func(chat.Event, error) bool) {
					c.run(ctx, yield)
					if ctx.Err() != nil {
						yield(chat.Event{}, fault.New(fault.Canceled, "I was cancelled."))
					}
				}}, policy)
				for range 2 { // the second as the first
					start := time.Now()
					var last error
					for _, err := range g.Run(t.Context(), agent.Task{Model: "m"}) {
						last = err
						time.Sleep(c.slow)
					}
					if c.after == 0 && last != nil {
						t.Errorf("got %v", last)
					}
					if f := fault.As(last); c.after > 0 && (f == nil || f.Kind != fault.Timeout || f.Code != tooSlow || time.Since(start) != c.after) {
						t.Errorf("got %v after %v, want a timeout after %v", last, time.Since(start), c.after)
					}
				}
			})
		})
	}
}

func TestAModelThatKeepsFailingIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			fails = true
			runs  int
		)
		g := New("a", &scripted{nil, func(_ context.Context, yield func(chat.Event, error) bool) {
			runs++
			if fails {
				yield(chat.Event{}, fault.New(fault.Upstream, "It broke."))
				return
			}
			yield(chat.Event{Kind: chat.Finished}, nil)
		}}, policy)
		for range 3 {
			if err := drain(t.Context(), g); !fault.Is(err, fault.Upstream) {
				t.Fatal(err)
			}
		}
		err := drain(t.Context(), g)
		if f := fault.As(err); f == nil || f.Kind != fault.Unavailable || f.RetryAfter < time.Second || runs != 3 {
			t.Fatalf("after three failures: %v, %d runs", err, runs)
		}
		for _, err := range g.Run(t.Context(), agent.Task{Model: "other"}) {
			if !fault.Is(err, fault.Upstream) {
				t.Errorf("another model shares the breaker: %v", err)
			}
		}
		time.Sleep(policy.Open)
		if err := drain(t.Context(), g); !fault.Is(err, fault.Upstream) {
			t.Errorf("after its time one request may try: %v", err)
		}
		if err := drain(t.Context(), g); !fault.Is(err, fault.Unavailable) {
			t.Errorf("it failed again: %v", err)
		}
		time.Sleep(policy.Open)
		fails = false
		for range 3 {
			if err := drain(t.Context(), g); err != nil {
				t.Errorf("it is well again: %v", err)
			}
		}
	})
}

func TestBreakersAreShownAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []error
		g := New("a", &scripted{nil, func(_ context.Context, yield func(chat.Event, error) bool) {
			yield(chat.Event{}, fault.New(fault.Upstream, "It broke."))
		}}, policy)
		g.Watch(func(err error) { told = append(told, err) })
		for range 5 {
			_ = drain(t.Context(), g)
		}
		if len(told) != 3 || !fault.Is(told[0], fault.Upstream) {
			t.Errorf("told was %v: what the breaker kept from the agent says nothing of it", told)
		}
		if b := g.Breakers(); len(b) != 1 || b[0].Model != "m" || b[0].State != agent.Open || b[0].Left != policy.Open {
			t.Errorf("open are %+v", b)
		}
		if n := g.Close(); n != 1 || len(g.Breakers()) != 0 {
			t.Errorf("%d were closed, %+v are left", n, g.Breakers())
		}
		if err := drain(t.Context(), g); !fault.Is(err, fault.Upstream) {
			t.Errorf("the agent is not asked again: %v", err)
		}
	})
}

func TestWhatIsNotTheAgentsFaultDoesNotCount(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Canceled, fault.Invalid, fault.TooLong, fault.Unsupported, fault.RateLimited, fault.NotFound} {
		g := New("a", &scripted{nil, func(_ context.Context, yield func(chat.Event, error) bool) {
			yield(chat.Event{}, fault.New(kind, "x"))
		}}, policy)
		for range 5 {
			if err := drain(t.Context(), g); !fault.Is(err, kind) {
				t.Errorf("%s: got %v", kind, err)
			}
		}
	}
}

func TestOnlySoManyAnswersRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New("a", &scripted{nil, func(ctx context.Context, yield func(chat.Event, error) bool) {
			if sleep(ctx, 3*time.Second) {
				yield(chat.Event{Kind: chat.Finished}, nil)
			}
		}}, policy)
		results := make(chan error)
		for range 3 {
			go func() { results <- drain(t.Context(), g) }()
		}
		err := <-results
		if f := fault.As(err); f == nil || f.Code != "agent_overloaded" || f.RetryAfter == 0 {
			t.Errorf("the third of two: %v", err)
		}
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if err := drain(t.Context(), g); err != nil {
			t.Errorf("the places were not given back: %v", err)
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	n := b.N
	g := New("a", &scripted{nil, func(_ context.Context, yield func(chat.Event, error) bool) {
		for range n {
			if !yield(chat.Event{Kind: chat.Text, Text: "x"}, nil) {
				return
			}
		}
	}}, policy)
	b.ReportAllocs()
	for range g.Run(b.Context(), agent.Task{Model: "m"}) {
	}
}

func BenchmarkRun(b *testing.B) {
	text, end := chat.Event{Kind: chat.Text, Text: "x"}, chat.Event{Kind: chat.Finished}
	g := New("a", &scripted{nil, func(_ context.Context, yield func(chat.Event, error) bool) {
		_ = yield(text, nil) && yield(end, nil)
	}}, policy)
	b.ReportAllocs()
	for b.Loop() {
		if err := drain(b.Context(), g); err != nil {
			b.Fatal(err)
		}
	}
}

// A look that is at work while the answer ends would come again and again, for ever: where
// the consumer has the turn, nothing is ever due.
func TestNobodyLooksAtAnAnswerThatHasEnded(t *testing.T) {
	g := New("a", &scripted{}, Policy{Idle: time.Hour})
	w := g.watch(&run{guard: g}, time.Hour)
	g.unwatch(w)
	if w.look(); w.timer.Stop() {
		t.Error("the timer of an answer that has ended runs")
	}
}

// What such a look finds would put off when the next answer is looked at.
func TestAWatchThatIsAtWorkIsNotUsedAgain(t *testing.T) {
	g := New("a", &scripted{}, Policy{Idle: time.Hour})
	for range 100 { // the pool forgets some of what it is given, where races are looked for
		w := g.watch(&run{guard: g}, time.Hour)
		w.timer.Stop() // as it is while look is at work
		g.unwatch(w)
		if g.watches.Get() != nil {
			t.Fatal("it is there for the next answer")
		}
	}
}
