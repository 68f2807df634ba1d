package routing_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	cachemem "agentapi/adapters/cache/memory"
	"agentapi/application/routing"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

var (
	a, b, c = agent.Candidate{Agent: "a", Model: "m"}, agent.Candidate{Agent: "b", Model: "m"}, agent.Candidate{Agent: "c", Model: "m"}
	all     = []agent.Candidate{a, b, c}
)

// chance is a source that gives the numbers of an even spread, over and over.
func chance(n int) func() float64 {
	i := 0
	return func() float64 { i++; return float64((i-1)%n) / float64(n) }
}

func TestWeightsAreHowOftenEachIsChosen(t *testing.T) {
	t.Parallel()
	s := routing.New(routing.Params{Now: time.Now, Random: chance(60)})
	plan := agent.Plan{Strategy: agent.Weighted, Weights: map[agent.Candidate]int{a: 3, b: 2, c: 1}}
	for _, of := range []struct {
		well int
		want [3]int
	}{{3, [3]int{30, 20, 10}}, {2, [3]int{36, 24, 0}}, {1, [3]int{60, 0, 0}}, {0, [3]int{60, 0, 0}}} {
		var got [3]int
		for range 60 {
			choice := s.Choose(&plan, all, of.well, routing.Ask{})
			first := slices.Index(all, choice.Candidates[0])
			got[first]++
			if want := slices.DeleteFunc(slices.Clone(all), func(c agent.Candidate) bool { return c == choice.Candidates[0] }); !slices.Equal(choice.Candidates[1:], want) {
				t.Errorf("after %v come %v", choice.Candidates[0], choice.Candidates[1:])
			}
		}
		if got != of.want {
			t.Errorf("of %d that are well: %v, not %v", of.well, got, of.want)
		}
	}
	none := agent.Plan{Strategy: agent.Weighted, Weights: map[agent.Candidate]int{a: 0, b: 1, c: 0}}
	for range 60 {
		if got := s.Choose(&none, all, 3, routing.Ask{}).Candidates[0]; got != b {
			t.Errorf("%v has no weight and is chosen", got)
		}
	}
}

func TestKeysStayWhereTheyAreWhenOthersGo(t *testing.T) {
	t.Parallel()
	s := routing.New(routing.Params{Now: time.Now, Random: chance(7)})
	plan := agent.Plan{Strategy: agent.Weighted, Weights: map[agent.Candidate]int{a: 2}, Sticky: []agent.Bond{agent.Conversation, agent.Caller}}
	const keys = 4000
	var got [3]int
	moved := 0
	for i := range keys {
		ask := routing.Ask{Org: "o", User: "u", Conversation: fmt.Sprint(i)}
		first := s.Choose(&plan, all, 3, ask)
		if again := s.Choose(&plan, all, 3, ask); again.Candidates[0] != first.Candidates[0] || again.Bond != agent.Conversation {
			t.Fatalf("%d goes to %v and to %v", i, first, again)
		}
		got[slices.Index(all, first.Candidates[0])]++
		without := s.Choose(&plan, []agent.Candidate{a, b, c}, 2, ask).Candidates[0] // c is ill
		if without == c {
			t.Fatal("one that is ill is chosen")
		}
		if first.Candidates[0] != c && without != first.Candidates[0] {
			moved++
		}
	}
	if moved > 0 {
		t.Errorf("%d keys moved that did not have to", moved)
	}
	for i, want := range [3]float64{keys / 2, keys / 4, keys / 4} {
		if math.Abs(float64(got[i])-want) > 4*math.Sqrt(keys/4) {
			t.Errorf("the shares are %v", got)
		}
	}
	own, other := routing.Ask{Org: "o", User: "u"}, routing.Ask{Org: "o", User: "u", CacheKey: "k"}
	if x, y := s.Choose(&plan, all, 3, own), s.Choose(&plan, all, 3, other); x.Bond != agent.Caller || y.Candidates[0] != x.Candidates[0] {
		t.Errorf("a user without a conversation goes to %v and %v", x, y)
	}
	spread := map[agent.Candidate]bool{}
	for i := range 50 {
		spread[s.Choose(&plan, all, 3, routing.Ask{Org: fmt.Sprint(i), Conversation: "1"}).Candidates[0]] = true
	}
	if len(spread) != 3 {
		t.Error("the same key of all organisations goes to the same target")
	}
}

func TestTheFastestIsChosenAndOthersAreTriedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := 0.5
		s := routing.New(routing.Params{Now: time.Now, Random: func() float64 { return u }})
		plan := agent.Plan{Strategy: agent.LeastLatency}
		first := func(want agent.Candidate) {
			t.Helper()
			if got := s.Choose(&plan, all, 3, routing.Ask{Stream: true}); got.Candidates[0] != want {
				t.Errorf("it is %v, not %v: %s", got.Candidates[0], want, got.Reason)
			}
		}
		first(a) // nothing is known
		s.Began(a, true, 300*time.Millisecond)
		first(b)
		s.Began(b, true, 100*time.Millisecond)
		first(c)
		s.Began(c, true, 200*time.Millisecond)
		first(b)
		s.Began(b, false, time.Hour) // whole answers are another matter
		first(b)
		for range 20 {
			s.Began(b, true, time.Second)
		}
		first(c) // b has become slow
		time.Sleep(10 * time.Minute)
		s.Began(b, true, 50*time.Millisecond) // the past is forgotten
		first(b)
		for range 3 {
			s.Stumbled(b, true, time.Millisecond) // to fail soon is not to be fast
		}
		first(c)
		for i, want := range all {
			u = 0.05 * (float64(i) + 0.5) / 3
			first(want)
		}
	})
}

func TestRetriesHaveABudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := routing.New(routing.Params{Now: time.Now, Random: chance(3), Retry: routing.Retry{Share: 0.2, Least: 1}})
		asked, again := 0, 0
		for range 60 * 200 { // 200 requests a second for a minute, and each fails
			s.Count()
			asked++
			for range 3 {
				if s.Allow() {
					again++
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
		if most := asked / 5; again > most || again < most*9/10 {
			t.Errorf("%d requests were tried again %d times", asked, again)
		}
		time.Sleep(time.Minute)
		again = 0
		for range 100 {
			if s.Allow() {
				again++
			}
		}
		if again != 10 {
			t.Errorf("in quiet times %d are tried again, not 1 for each of 10 seconds", again)
		}
	})
}

func TestOnlyWhoWasNotReachedIsAskedAgain(t *testing.T) {
	t.Parallel()
	u := 0.999
	s := routing.New(routing.Params{Now: time.Now, Random: func() float64 { return u }, Retry: routing.Retry{Again: 4, Backoff: 100 * time.Millisecond, Most: 300 * time.Millisecond}})
	unreached := fault.Wrap(fault.Unavailable, fmt.Errorf("%w: refused", agent.ErrUnreached), "away")
	for n, most := range []time.Duration{0, 100, 200, 300, 300} {
		if n == 0 {
			continue
		}
		most *= time.Millisecond
		u = 0.999
		if wait, ok := s.Again(n, unreached); !ok || wait > most || wait < most*99/100 {
			t.Errorf("before the %d. time: %v, %v", n, wait, ok)
		}
		u = 0
		if wait, ok := s.Again(n, unreached); !ok || wait != 0 {
			t.Errorf("jitter is not full: %v, %v", wait, ok)
		}
	}
	for name, of := range map[string]struct {
		n    int
		err  error
		wait time.Duration
		ok   bool
	}{
		"too often":                   {5, unreached, 0, false},
		"it has seen the request":     {1, fault.New(fault.Upstream, "broken"), 0, false},
		"any error":                   {1, errors.New("x"), 0, false},
		"it asks for a while":         {1, unreached.WithRetryAfter(250 * time.Millisecond), 250 * time.Millisecond, true},
		"it asks for too long a time": {1, unreached.WithRetryAfter(time.Second), 0, false},
	} {
		if wait, ok := s.Again(of.n, of.err); ok != of.ok || ok && wait != of.wait {
			t.Errorf("%s: %v, %v", name, wait, ok)
		}
	}
}

func TestWhatFailedIsKnownToOtherServersAndTheRestHere(t *testing.T) {
	t.Parallel()
	var o cachemem.Options
	o.SetDefaults()
	cache, err := cachemem.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		here := routing.New(routing.Params{Now: time.Now, Instance: "here", Cache: cache})
		there := routing.New(routing.Params{Now: time.Now, Instance: "there", Cache: cache})
		if err := here.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		follow := func(id string, failures int) {
			f := here.Follow(agent.Decision{Request: id, At: time.Now(), Model: "x"})
			f.Choice(agent.Route{Via: "alias", Passed: []agent.Considered{{Candidate: c, Verdict: agent.Drained}}}, routing.Choice{Candidates: []agent.Candidate{a, b}, Reason: "why"},
				func(n agent.Name) bool { return n == "b" })
			for range failures {
				i := f.Ask(a, time.Now(), 0, false)
				time.Sleep(time.Second)
				f.Became(i, time.Now(), agent.Failed, fault.New(fault.Upstream, "secret").WithCode("upstream_error"))
			}
			f.Became(f.Ask(b, time.Now(), 0, false), time.Now(), agent.Answering, nil)
			time.Sleep(2 * time.Second)
			f.End(time.Now(), nil)
		}
		follow("plain", 0)
		follow("troubled", 1)
		synctest.Wait()
		if _, err := there.Explain(t.Context(), "plain"); !fault.Is(err, fault.NotFound) || fault.As(err).Hint == "" {
			t.Errorf("what went well: %v", err)
		}
		for _, s := range []*routing.Service{here, there} {
			d, err := s.Explain(t.Context(), "troubled")
			if err != nil || d.Instance != "here" || len(d.Attempts) != 2 || d.Attempts[0].Took != time.Second || d.Attempts[0].Code != "upstream_error" || d.Attempts[0].Kind != "upstream" ||
				d.Attempts[1].Result != agent.Answered || d.Attempts[1].Took != 2*time.Second || !d.Ended || d.Took != 3*time.Second {
				t.Errorf("%+v, %v", d, err)
			}
			if len(d.Candidates) != 3 || d.Candidates[0].Verdict != agent.Eligible || d.Candidates[1].Verdict != agent.Unwell || d.Candidates[2].Verdict != agent.Drained {
				t.Errorf("considered: %+v", d.Candidates)
			}
		}
		slow := here.Follow(agent.Decision{Request: "slow"})
		for i := range 2 * routing.Kept {
			f := here.Follow(agent.Decision{Request: fmt.Sprint(i)})
			f.Became(f.Ask(a, time.Now(), 0, false), time.Now(), agent.Answering, nil)
			f.End(time.Now(), nil)
		}
		slow.Ask(c, time.Now(), 0, false)
		slow.End(time.Now(), fault.New(fault.Upstream, "late"))
		for i := range routing.Kept {
			request := fmt.Sprint(routing.Kept + i)
			if d, err := here.Explain(t.Context(), request); err != nil || d.Request != request || d.Kind != "" || len(d.Attempts) != 1 || d.Attempts[0].Agent != "a" {
				t.Fatalf("of one of the last requests it is known: %+v, %v", d, err)
			}
		}
		if _, err := here.Explain(t.Context(), "plain"); !fault.Is(err, fault.NotFound) {
			t.Errorf("what is older than the last requests is still there: %v", err)
		}
		if err := here.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
