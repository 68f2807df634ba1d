package porttest

import (
	"sync"
	"testing"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/session"
	"agentapi/domain/usage"
	"agentapi/ports"
)

func newRecord(prompt, completion int) usage.Record {
	return usage.Record{
		ID: usage.NewID(start, entropy()), Request: "req", Session: session.NewID(start, entropy()), Agent: "a", Model: "m",
		Tokens: chat.Usage{Prompt: prompt, Completion: completion, Cached: 1, Estimated: true}, Outcome: usage.Completed, At: start,
	}
}

func usageTotals(t *testing.T, s ports.Storage) {
	ann, bob, elsewhere := someone(t, "a", "ann"), someone(t, "a", "bob"), someone(t, "b", "ann")
	one, two := newRecord(1, 2), newRecord(10, 20)
	must(t, s.Usage().Record(t.Context(), ann, one, two, one))
	must(t, s.Usage().Record(t.Context(), ann, one))
	must(t, s.Usage().Record(t.Context(), ann))
	must(t, s.Usage().Record(t.Context(), bob, newRecord(100, 200)))
	sum, err := s.Usage().Totals(t.Context(), ann)
	must(t, err)
	same(t, sum, usage.Totals{Requests: 2, PromptTokens: 11, CompletionTokens: 22})
	sum, err = s.Usage().Totals(t.Context(), elsewhere)
	must(t, err)
	same(t, sum, usage.Totals{})
}

func bookedOnce(t *testing.T, s ports.Storage) {
	in, r := someone(t, "a", "ann"), newRecord(3, 4)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if err := s.Usage().Record(t.Context(), in, r); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	sum, err := s.Usage().Totals(t.Context(), in)
	must(t, err)
	same(t, sum, usage.Totals{Requests: 1, PromptTokens: 3, CompletionTokens: 4})
}

func usageRecords(t *testing.T, s ports.Storage) {
	ann, bob := someone(t, "a", "ann"), someone(t, "a", "bob")
	var want []usage.Record
	for i := range 5 {
		r := usage.Record{
			ID: usage.NewID(start.Add(time.Duration(i)*time.Second), entropy()), Request: "req", Session: session.NewID(start, entropy()), Agent: "a", Model: "m",
			Tokens: chat.Usage{Prompt: i, Completion: 2, Cached: 1, Estimated: true}, Outcome: usage.Failed, At: start,
		}
		if i == 0 {
			r.Session = session.ID{} // there was none
		}
		stored := r
		stored.At = session.Moment(r.At)
		want = append(want, stored)
		must(t, s.Usage().Record(t.Context(), ann, r))
		r.ID = usage.NewID(start, entropy())
		must(t, s.Usage().Record(t.Context(), bob, r))
	}
	var got []usage.Record
	for after := (usage.ID{}); ; after = got[len(got)-1].ID {
		some, err := s.Usage().Records(t.Context(), ann, after, 2)
		must(t, err)
		if len(some) == 0 {
			break
		}
		if len(some) > 2 || len(got) > 5 {
			t.Fatalf("got %d and %d", len(got), len(some))
		}
		got = append(got, some...)
	}
	same(t, got, want)
}
