package bootstrap

import (
	"time"

	"go.uber.org/fx"

	"agentapi/adapters/telemetry"
	"agentapi/adapters/telemetry/prometheus"
	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/application/outage"
	"agentapi/application/trail"
	"agentapi/application/vitals"
	"agentapi/configs"
	"agentapi/domain/agent"
	"agentapi/domain/session"
	"agentapi/ports"
)

// Watching has what runs be watched by operators.
var Watching = fx.Module("watching", fx.Invoke(listen, measure))

// measured is what the metrics ask.
type measured struct {
	fx.In

	Metrics    *prometheus.Metrics
	Storage    ports.Storage
	Catalog    *catalog.Current
	Completion *completion.Service
	Vitals     *vitals.Service
	Recorder   *trail.Recorder
	Log        *trail.Service
	Outages    *outage.Registry
	Config     *configs.Config
	Shared     Shared
	Fleet      *fleet
	Tracing    tracing
}

// measure has the metrics ask what runs, and be told by it.
func measure(w measured) {
	var calls []ports.Watch
	if w.Metrics != nil {
		calls = append(calls, w.Metrics.Storage)
	}
	if w.Tracing != nil {
		calls = append(calls, w.Tracing.Watch(w.Config.Storage.Driver))
		if w.Shared.link != nil {
			w.Shared.link.Observe(w.Tracing.Watch("redis"))
		}
	}
	if s, ok := w.Storage.(interface{ Watch(ports.Watch) }); ok {
		s.Watch(telemetry.Watches(calls...))
	}
	if w.Metrics == nil {
		return
	}
	w.Recorder.Watch(w.Metrics.Audited)
	s := prometheus.Sources{
		Known: w.known, Streams: w.streams, Sessions: w.sessions, Agents: w.agents, Breakers: w.breakers, Degraded: w.degraded, Queue: w.Completion.Unbooked,
		Programs: w.programs,
	}
	if w.Shared.link != nil {
		s.Redis = w.Shared.link.Connections
	}
	if w.Log != nil {
		s.Verified = w.verified
	}
	if p, ok := w.Storage.(interface {
		Connections(func(pool string, used, idle, most int))
	}); ok {
		s.Pools = p.Connections
	}
	w.Metrics.Ask(s)
}

// known tells whether an agent has said that it has a model, or is configured to.
func (w measured) known(by agent.Name, model string) bool {
	for _, m := range w.Catalog.Now().Serving(by) {
		if m.ID == model {
			return true
		}
	}
	return false
}

func (w measured) streams(tell func(agent.Name, int)) {
	n := make(map[agent.Name]int)
	for _, e := range w.Catalog.Now().Entries() {
		n[e.Name] = 0
	}
	for _, r := range w.Completion.Running() {
		if r.Stream && r.Phase == completion.Answering {
			n[r.Agent]++
		}
	}
	for name, of := range n {
		tell(name, of)
	}
}

func (w measured) sessions() int {
	seen := make(map[session.ID]bool)
	for _, r := range w.Completion.Running() {
		if !r.Session.IsZero() {
			seen[r.Session] = true
		}
	}
	return len(seen)
}

func (w measured) agents(tell func(agent.Name, agent.State)) {
	for _, a := range w.Vitals.Agents() {
		tell(a.Name, a.Health.State)
	}
}

func (w measured) breakers(tell func(agent.Name, agent.BreakerState)) {
	for _, e := range w.Catalog.Now().Entries() {
		g, ok := e.Agent.(ports.Guarded)
		if !ok {
			continue
		}
		worst := agent.Closed
		for _, b := range g.Breakers() {
			if worst != agent.Open {
				worst = b.State
			}
		}
		tell(e.Name, worst)
	}
}

// programs tells of the agents that run programs.
func (w measured) programs(tell func(name agent.Name, running, idle int)) {
	for name, m := range w.Fleet.members() {
		if p, ok := m.inner.(interface{ Programs() (running, idle int) }); ok {
			running, idle := p.Programs()
			tell(agent.Name(name), running, idle)
		}
	}
}

func (w measured) degraded(tell func(dep, mode string, away bool)) {
	for dep, mode := range outage.Modes() {
		tell(dep, mode, w.Outages.Away(dep))
	}
}

func (w measured) verified() (at time.Time, intact bool) {
	st := w.Log.State()
	at = st.Recent.At
	if st.Whole.At.After(at) {
		at = st.Whole.At
	}
	return at, st.Finding() == nil
}
