package porttest

import (
	"sync"
	"testing"

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
