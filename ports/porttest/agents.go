package porttest

import (
	"context"
	"sync"
	"testing"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/ports"
)

func agentsMirror(t *testing.T, s ports.Storage) {
	up := agent.Described{Name: "up", Type: "openai", Config: `{"base_url": "http://x"}`, Models: []agent.Model{{ID: "b", OwnedBy: "x"}, {ID: "a", Context: 100}}}
	down := agent.Described{Name: "down", Type: "exec", Config: `{}`}
	stored := func(want ...agent.Stored) {
		t.Helper()
		got, err := s.Agents().Stored(t.Context())
		must(t, err)
		same(t, got, want)
	}
	must(t, s.Agents().Mirror(t.Context(), []agent.Described{up, down}))
	kept := up
	kept.Models = []agent.Model{{ID: "a", Context: 100}, {ID: "b"}}
	stored(agent.Stored{Described: down, Enabled: true}, agent.Stored{Described: kept, Enabled: true})

	seen := func(h agent.Health, at time.Time, err error) agent.Health {
		return h.Observe(agent.Hysteresis{Failures: 1, Successes: 1}, agent.Observation{At: at, Err: err})
	}
	h := seen(agent.Health{}, start, fault.New(fault.Unavailable, "It is away."))
	must(t, s.Agents().RecordHealth(t.Context(), "up", h))
	must(t, s.Agents().RecordHealth(t.Context(), "up", agent.Health{}))
	must(t, s.Agents().RecordHealth(t.Context(), "nobody", h))
	health := agent.Health{State: agent.Unhealthy, Seen: session.Moment(start), Reason: h.Reason}
	up.Type, up.Models = "vertex", []agent.Model{{ID: "b", Context: 7}}
	must(t, s.Agents().Mirror(t.Context(), []agent.Described{up}))
	stored(agent.Stored{Described: down}, agent.Stored{Described: up, Enabled: true, Health: health})
	h = seen(h, start.Add(time.Second), nil)
	must(t, s.Agents().RecordHealth(t.Context(), "up", h))
	health = agent.Health{State: agent.Healthy, Seen: session.Moment(start.Add(time.Second))}
	stored(agent.Stored{Described: down}, agent.Stored{Described: up, Enabled: true, Health: health})
	must(t, s.Agents().Mirror(t.Context(), nil))
	stored(agent.Stored{Described: down}, agent.Stored{Described: up, Health: health})

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := s.Agents().Mirror(t.Context(), []agent.Described{down, up}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	stored(agent.Stored{Described: down, Enabled: true}, agent.Stored{Described: up, Enabled: true, Health: health})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	is(t, s.Agents().Mirror(ended, nil), fault.Canceled, "")
}
