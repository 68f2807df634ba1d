package completion_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/application/routing"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// routed is a house whose alias "team" has all agents in their order.
func routed(t *testing.T, plan agent.Plan, retry routing.Retry, agents ...*scripted) (*house, *routing.Service) {
	t.Helper()
	return routedWith(t, plan, retry, func(*catalog.Params, *completion.Params) {}, agents...)
}

// routedWith is routed with parts that change says.
func routedWith(t *testing.T, plan agent.Plan, retry routing.Retry, change func(*catalog.Params, *completion.Params), agents ...*scripted) (*house, *routing.Service) {
	t.Helper()
	ways := routing.New(routing.Params{Now: time.Now, Random: rand.New(rand.NewPCG(1, 2)).Float64, Retry: retry, Instance: "here"})
	h := buildWith(t, func(c *catalog.Params, p *completion.Params) {
		for _, n := range c.Routing.Default {
			c.Routing.Aliases = map[string][]agent.Candidate{"team": append(c.Routing.Aliases["team"], agent.Candidate{Agent: n, Model: "m"})}
		}
		c.Routing.Plans = map[string]agent.Plan{"team": plan}
		p.Routing = ways
		change(c, p)
	}, agents...)
	return h, ways
}

func (h *house) team(id string, most int) completion.Command {
	cmd := h.ask("hi")
	cmd.Request.Model, cmd.Request.MaxTokens, cmd.RequestID = "team", most, id
	return cmd
}

// slow gives an agent that takes its time, and counts those that left it meanwhile.
func slow(d time.Duration, left *int, then *scripted) *scripted {
	var mu sync.Mutex
	return &scripted{run: func(ctx context.Context, task agent.Task, yield func(chat.Event, error) bool) {
		select {
		case <-ctx.Done():
			mu.Lock()
			*left++
			mu.Unlock()
			yield(chat.Event{}, fault.Wrap(fault.Canceled, ctx.Err(), "left"))
		case <-time.After(d):
			then.run(ctx, task, yield)
		}
	}}
}

var unreached = fault.Wrap(fault.Unavailable, fmt.Errorf("%w: connection refused", agent.ErrUnreached), "It cannot be reached.").WithCode("agent_unavailable")

func TestADeadPrimaryUnderLoadMultipliesCallsByAFifthAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary, second := fails(unreached), says(text("ok"), used, stopped, finished)
		h, _ := routed(t, agent.Plan{}, routing.Retry{Again: 2, Backoff: 100 * time.Millisecond, Most: 2 * time.Second, Share: 0.2, Least: 1}, primary, second)
		const requests = 4000 // 200 in a second
		var (
			all    sync.WaitGroup
			mu     sync.Mutex
			well   int
			honest = true
		)
		for i := range requests {
			all.Go(func() {
				_, err := h.Complete(t.Context(), h.team(fmt.Sprint(i), 0))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					well++
				} else if f := fault.As(err); f.Kind != fault.Unavailable || f.Code != "agent_unavailable" {
					honest = false
				}
			})
			time.Sleep(5 * time.Millisecond)
		}
		all.Wait()
		calls := int(primary.runs.Load() + second.runs.Load())
		if calls*10 > requests*12 || well != int(second.runs.Load()) || well < requests*15/100 || !honest {
			t.Errorf("%d requests made %d calls; %d were answered, honest is %v", requests, calls, well, honest)
		}
		t.Logf("%d requests, %d calls, factor %.3f", requests, calls, float64(calls)/requests)
	})
}

func TestTheLastAgentIsAskedAgainThatWasNotReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blips := 2
		only := &scripted{}
		only.run = func(ctx context.Context, task agent.Task, yield func(chat.Event, error) bool) {
			if int(only.runs.Load()) <= blips {
				yield(chat.Event{}, unreached)
				return
			}
			says(text("ok"), used, stopped, finished).run(ctx, task, yield)
		}
		h, ways := routed(t, agent.Plan{}, routing.Retry{Again: 2, Backoff: 100 * time.Millisecond, Most: time.Second}, only)
		w, err := h.Complete(t.Context(), h.team("a", 0))
		if err != nil || w.Attempts != 3 {
			t.Fatal(w, err)
		}
		d, err := ways.Explain(t.Context(), "a")
		if err != nil || len(d.Attempts) != 3 || d.Attempts[1].Waited == 0 || d.Attempts[2].Result != agent.Answered || d.Attempts[0].Result != agent.Failed {
			t.Errorf("%+v, %v", d, err)
		}
		blips = 1000
		if _, err := h.Complete(t.Context(), h.team("b", 0)); err == nil || err.Error() != unreached.Error() || only.runs.Load() != 6 {
			t.Errorf("after %d runs: %v", only.runs.Load(), err)
		}
		seen := fails(fault.New(fault.Upstream, "broken"))
		h, _ = routed(t, agent.Plan{}, routing.Retry{Again: 2, Most: time.Second}, seen)
		if _, err := h.Complete(t.Context(), h.team("c", 0)); err == nil || seen.runs.Load() != 1 {
			t.Errorf("one that has seen the request was asked %d times: %v", seen.runs.Load(), err)
		}
	})
}

func TestASecondIsAskedBesideOneThatTakesLong(t *testing.T) {
	var (
		fast  = says(text("fast"), used, stopped, finished)
		other = says(text("other"), used, stopped, finished)
		plan  = agent.Plan{Hedge: agent.Hedge{After: 2 * time.Second, MaxTokens: 100}}

		cramped = fault.New(fault.TooLong, "The prompt is too long for the model.")
	)
	for name, c := range map[string]struct {
		first    func(left *int) *scripted
		second   func(left *int) *scripted
		most     int
		stream   bool
		by       agent.Name
		attempts int
		left     int
		booked   int64
		took     time.Duration
	}{
		"the first is soon":           {func(l *int) *scripted { return slow(time.Second, l, fast) }, func(*int) *scripted { return other }, 10, false, "first", 1, 0, 1, time.Second},
		"the second is sooner":        {func(l *int) *scripted { return slow(time.Minute, l, fast) }, func(l *int) *scripted { return slow(time.Second, l, other) }, 10, false, "second", 2, 1, 1, 3 * time.Second},
		"the first is sooner still":   {func(l *int) *scripted { return slow(3*time.Second, l, fast) }, func(l *int) *scripted { return slow(time.Minute, l, other) }, 10, false, "first", 2, 1, 1, 3 * time.Second},
		"the first fails at once":     {func(*int) *scripted { return fails(away) }, func(l *int) *scripted { return slow(time.Second, l, other) }, 10, false, "second", 2, 0, 1, time.Second},
		"the first fails late":        {func(l *int) *scripted { return slow(3*time.Second, l, fails(away, text("half"))) }, func(l *int) *scripted { return slow(4*time.Second, l, other) }, 10, false, "second", 2, 0, 2, 6 * time.Second},
		"the second fails":            {func(l *int) *scripted { return slow(5*time.Second, l, fast) }, func(*int) *scripted { return fails(away) }, 10, false, "first", 2, 0, 1, 5 * time.Second},
		"the second has no room":      {func(l *int) *scripted { return slow(5*time.Second, l, fast) }, func(*int) *scripted { return fails(cramped) }, 10, false, "first", 2, 0, 1, 5 * time.Second},
		"the first has no room":       {func(l *int) *scripted { return slow(3*time.Second, l, fails(cramped)) }, func(l *int) *scripted { return slow(4*time.Second, l, other) }, 10, false, "second", 2, 0, 1, 6 * time.Second},
		"neither has room":            {func(l *int) *scripted { return slow(3*time.Second, l, fails(cramped)) }, func(l *int) *scripted { return slow(4*time.Second, l, fails(cramped)) }, 10, false, "", 2, 0, 0, 6 * time.Second},
		"both fail":                   {func(l *int) *scripted { return slow(5*time.Second, l, fails(away)) }, func(*int) *scripted { return fails(away) }, 10, false, "", 2, 0, 0, 5 * time.Second},
		"the answer may be long":      {func(l *int) *scripted { return slow(time.Minute, l, fast) }, func(*int) *scripted { return other }, 101, false, "first", 1, 0, 1, time.Minute},
		"it does not say how long":    {func(l *int) *scripted { return slow(time.Minute, l, fast) }, func(*int) *scripted { return other }, 0, false, "first", 1, 0, 1, time.Minute},
		"it is streamed":              {func(l *int) *scripted { return slow(time.Minute, l, fast) }, func(*int) *scripted { return other }, 10, true, "first", 1, 0, 1, time.Minute},
		"the agent panics in a hedge": {func(l *int) *scripted { return slow(3*time.Second, l, panics()) }, func(l *int) *scripted { return slow(4*time.Second, l, other) }, 10, false, "", 2, 1, 0, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				left := 0
				h, ways := routed(t, plan, routing.Retry{}, c.first(&left), c.second(&left))
				began := time.Now()
				cmd := h.team("a", c.most)
				var (
					head completion.Head
					err  error
				)
				if cmd.Request.Stream = c.stream; c.stream {
					r, failed := h.Begin(t.Context(), cmd)
					if failed != nil {
						t.Fatal(failed)
					}
					head = r.Head
					_, err = drain(r)
				} else if w, failed := h.Complete(t.Context(), cmd); failed == nil {
					head = w.Head
				} else {
					err = failed
				}
				if (err != nil) != (c.by == "") || head.Agent != c.by || err == nil && head.Attempts != c.attempts || time.Since(began) != c.took {
					t.Errorf("by %q after %d attempts and %v: %v", head.Agent, head.Attempts, time.Since(began), err)
				}
				synctest.Wait() // for who was outrun
				if n, _ := h.booked(t); left != c.left || n != c.booked {
					t.Errorf("%d were left, and %d are booked", left, n)
				}
				if d, err := ways.Explain(t.Context(), "a"); err != nil || len(d.Attempts) != c.attempts || (c.left > 0 && err == nil && d.Attempts[0].Result != agent.Outrun && d.Attempts[1].Result != agent.Outrun) {
					t.Errorf("explained as %+v, %v", d, err)
				}
			})
		})
	}
}

// panics gives an agent that is broken.
func panics() *scripted {
	return &scripted{run: func(context.Context, agent.Task, func(chat.Event, error) bool) { panic("broken") }}
}

func TestAConversationStaysWithItsAgent(t *testing.T) {
	h, _ := routed(t, agent.Plan{Strategy: agent.Weighted, Sticky: []agent.Bond{agent.Conversation}}, routing.Retry{},
		says(text("a"), used, stopped, finished), says(text("b"), used, stopped, finished), says(text("c"), used, stopped, finished))
	seen := map[agent.Name]bool{}
	for i := range 40 {
		w, err := h.Complete(t.Context(), h.team(fmt.Sprint(i), 0))
		if err != nil {
			t.Fatal(err)
		}
		seen[w.Agent] = true
		for range 3 {
			cmd := h.team(fmt.Sprint(i, "again"), 0)
			cmd.Conversation.ID = w.Session
			next, err := h.Complete(t.Context(), cmd)
			if err != nil || next.Agent != w.Agent {
				t.Fatalf("it goes from %s to %s: %v", w.Agent, next.Agent, err)
			}
		}
	}
	if len(seen) != 3 {
		t.Errorf("all conversations are with %v", seen)
	}
}
