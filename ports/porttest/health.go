package porttest

import (
	"context"
	"testing"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/retention"
	"agentapi/domain/session"
	"agentapi/ports"
)

func healthChanges(t *testing.T, s ports.Storage) {
	change := func(name agent.Name, hours int, state agent.State) agent.Change {
		at := start.Add(time.Duration(hours) * time.Hour)
		return agent.Change{
			ID: agent.NewChangeID(at, entropy()), Agent: name, Instance: "i", At: session.Moment(at), State: state, Was: agent.Unknown, Reason: "because",
			Lasted: time.Duration(hours) * time.Second, Tally: agent.Tally{Probes: 4, ProbesFailed: 3, Runs: 2, RunsFailed: 1},
		}
	}
	all := []agent.Change{change("up", 0, agent.Healthy), change("up", 1, agent.Degraded), change("up", 2, agent.Unhealthy), change("up", 3, agent.Healthy)}
	other := change("other", 1, agent.Healthy)
	list := func(name agent.Name, q page.Query, more bool, want ...agent.Change) {
		t.Helper()
		got, err := s.Agents().Changes(t.Context(), name, q)
		must(t, err)
		if len(got.Items) == 0 && len(want) == 0 {
			return
		}
		same(t, got, page.Of[agent.Change]{Items: want, More: more})
	}
	list("up", page.Query{Limit: 9}, false)
	must(t, s.Agents().NoteChanges(t.Context()))
	must(t, s.Agents().NoteChanges(t.Context(), all[1], all[0], other))
	must(t, s.Agents().NoteChanges(t.Context(), all[2], all[3], all[0])) // one of them again
	list("up", page.Query{Limit: 9}, false, all...)
	list("up", page.Query{Limit: 3, Desc: true}, true, all[3], all[2], all[1])
	list("up", page.Query{Limit: 1, After: all[0].ID.String()}, true, all[1])
	list("up", page.Query{Limit: 9, Before: all[2].ID.String()}, false, all[0], all[1])
	list("up", page.Query{Limit: 9, After: other.ID.String()}, false, all[2:]...) // a cursor need not be in the list
	list("nobody", page.Query{Limit: 9}, false)
	_, err := s.Agents().Changes(t.Context(), "up", page.Query{Limit: 1, Before: "nonsense"})
	is(t, err, fault.Invalid, "invalid_cursor")

	rule := retention.Rule{Kind: retention.AgentHealth, Before: start.Add(2 * time.Hour)}
	if n, err := s.Upkeep().Expiring(t.Context(), rule); err != nil || n != 3 {
		t.Errorf("to go are %d, %v", n, err)
	}
	for _, want := range []int{2, 1, 0} {
		if n, more, err := s.Upkeep().Expire(t.Context(), rule, 2); err != nil || n != want || more != (n == 2) {
			t.Errorf("%d went, not %d, %v, %v", n, want, more, err)
		}
	}
	list("up", page.Query{Limit: 9}, false, all[2:]...)
	list("other", page.Query{Limit: 9}, false)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	is(t, s.Agents().NoteChanges(ended, other), fault.Canceled, "")
}
