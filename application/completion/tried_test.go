package completion_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/application/routing"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// ends keeps how the last request ended.
type ends struct {
	ports.NopObserver
	last ports.Ended
}

func (e *ends) CompletionEnded(_ context.Context, end ports.Ended) { e.last = end }

func TestWhatBecameOfEachWhoWasAskedIsTold(t *testing.T) {
	type one struct {
		by          agent.Name
		hedge       bool
		began       time.Duration // after the request did
		first, took time.Duration // to the second
		kind        string        // of its failure; empty: it has answered
		tokens      int
	}
	var (
		fast  = says(text("fast"), used, stopped, finished)
		whole = one{by: "first", first: time.Second, took: time.Second, tokens: 1}
	)
	for name, c := range map[string]struct {
		hedged bool
		first  func(left *int) *scripted
		second func(left *int) *scripted
		want   []one
	}{
		"the first answers": {false, func(l *int) *scripted { return slow(time.Second, l, fast) }, nil, []one{whole}},
		"another takes over": {false, func(l *int) *scripted { return slow(2*time.Second, l, fails(away, text("half"))) }, func(l *int) *scripted { return slow(time.Second, l, fast) }, []one{
			{by: "first", first: 2 * time.Second, took: 2 * time.Second, kind: "unavailable", tokens: 1},
			{by: "second", began: 2 * time.Second, first: time.Second, took: time.Second, tokens: 1},
		}},
		"a race that the first wins in time": {true, func(l *int) *scripted { return slow(time.Second, l, fast) }, func(l *int) *scripted { return slow(time.Minute, l, fast) }, []one{whole}},
		"the second wins the race": {true, func(l *int) *scripted { return slow(time.Minute, l, fast) }, func(l *int) *scripted { return slow(time.Second, l, fast) }, []one{
			{by: "first", took: 3 * time.Second, kind: "canceled"},
			{by: "second", hedge: true, began: 2 * time.Second, first: time.Second, took: time.Second, tokens: 1},
		}},
		"the first wins the race": {true, func(l *int) *scripted { return slow(5*time.Second, l, fast) }, func(l *int) *scripted { return slow(time.Minute, l, fast) }, []one{
			{by: "first", first: 5 * time.Second, took: 5 * time.Second, tokens: 1},
			{by: "second", hedge: true, began: 2 * time.Second, took: 3 * time.Second, kind: "canceled"},
		}},
		"one fails in the race": {true, func(l *int) *scripted { return slow(3*time.Second, l, fails(away, text("half"))) }, func(l *int) *scripted { return slow(4*time.Second, l, fast) }, []one{
			{by: "first", first: 3 * time.Second, took: 3 * time.Second, kind: "unavailable", tokens: 1},
			{by: "second", hedge: true, began: 2 * time.Second, first: 4 * time.Second, took: 4 * time.Second, tokens: 1},
		}},
		"one panics in the race": {true, func(l *int) *scripted { return slow(3*time.Second, l, panics()) }, func(l *int) *scripted { return slow(time.Minute, l, fast) }, []one{
			{by: "first", took: 3 * time.Second, kind: "internal"},
			{by: "second", hedge: true, began: 2 * time.Second, took: time.Second, kind: "canceled"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				left, seen := 0, new(ends)
				agents := []*scripted{c.first(&left)}
				if c.second != nil {
					agents = append(agents, c.second(&left))
				}
				var plan agent.Plan
				if c.hedged {
					plan.Hedge = agent.Hedge{After: 2 * time.Second, MaxTokens: 100}
				}
				h, _ := routedWith(t, plan, routing.Retry{}, func(_ *catalog.Params, p *completion.Params) { p.Observer = seen }, agents...)
				began := time.Now()
				_, _ = h.Complete(t.Context(), h.team("a", 10))
				var got []one
				for _, a := range seen.last.Tried {
					o := one{by: a.Agent, hedge: a.Hedge, began: a.Began.Sub(began).Round(time.Second), first: a.First.Round(time.Second), took: a.Took.Round(time.Second), tokens: min(a.Usage.Completion, 1)}
					if a.Err != nil {
						o.kind = fault.KindOf(a.Err).String()
					}
					got = append(got, o)
				}
				if len(got) != len(c.want) {
					t.Fatalf("told of %+v", got)
				}
				for i := range got {
					if got[i] != c.want[i] {
						t.Errorf("told of %+v, not %+v", got[i], c.want[i])
					}
				}
				synctest.Wait() // for who was outrun
			})
		})
	}
}
