package prometheus

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"agentapi/domain/agent"
)

// Sources is what is asked when the numbers are read. None may block; nil ones say
// nothing.
type Sources struct {
	Known    func(by agent.Name, model string) bool
	Streams  func(tell func(by agent.Name, n int))
	Sessions func() int
	Agents   func(tell func(name agent.Name, state agent.State))
	Breakers func(tell func(name agent.Name, worst agent.BreakerState))
	Degraded func(tell func(dep, mode string, away bool))
	Verified func() (at time.Time, intact bool)
	Queue    func() (n int, lag time.Duration)
	Pools    func(tell func(pool string, used, idle, most int))
	Programs func(tell func(name agent.Name, running, idle int))
	Redis    func() (open int, made, failed int64)
}

// Ask has the sources be asked from now on. It is called once, before anything is told
// or read.
func (m *Metrics) Ask(s Sources) {
	m.sources = s
	c := &asking{s: s, descriptions: make(map[string]*prometheus.Desc)}
	for _, d := range Table() {
		switch d.Name {
		case "agentapi_streams_active", "agentapi_sessions_active", "agentapi_agent_up", "agentapi_circuit_breaker_state", "agentapi_degraded",
			"agentapi_audit_chain_verified_timestamp_seconds", "agentapi_audit_chain_intact", "agentapi_audit_queue_length", "agentapi_audit_lag_seconds",
			"agentapi_storage_connections", "agentapi_processes", "agentapi_cache_connections", "agentapi_cache_dials_total":
			c.descriptions[d.Name] = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
		}
	}
	m.registry.MustRegister(c)
}

// asking is a collector that asks the sources.
type asking struct {
	s            Sources
	descriptions map[string]*prometheus.Desc
}

var _ prometheus.Collector = (*asking)(nil)

// Describe says what is collected.
func (a *asking) Describe(out chan<- *prometheus.Desc) {
	for _, d := range a.descriptions {
		out <- d
	}
}

// Collect asks.
func (a *asking) Collect(out chan<- prometheus.Metric) {
	say := func(name string, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(a.descriptions[name], prometheus.GaugeValue, value, labels...)
	}
	s := a.s
	if s.Streams != nil {
		s.Streams(func(by agent.Name, n int) { say("agentapi_streams_active", float64(n), string(by)) })
	}
	if s.Sessions != nil {
		say("agentapi_sessions_active", float64(s.Sessions()))
	}
	if s.Agents != nil {
		s.Agents(func(name agent.Name, state agent.State) {
			say("agentapi_agent_up", truth(state != agent.Unhealthy), string(name))
		})
	}
	if s.Breakers != nil {
		s.Breakers(func(name agent.Name, worst agent.BreakerState) {
			say("agentapi_circuit_breaker_state", map[agent.BreakerState]float64{agent.HalfOpen: 1, agent.Open: 2}[worst], string(name))
		})
	}
	if s.Degraded != nil {
		s.Degraded(func(dep, mode string, away bool) { say("agentapi_degraded", truth(away), dep, mode) })
	}
	if s.Verified != nil {
		at, intact := s.Verified()
		say("agentapi_audit_chain_verified_timestamp_seconds", seconds(at))
		say("agentapi_audit_chain_intact", truth(intact))
	}
	if s.Queue != nil {
		n, lag := s.Queue()
		say("agentapi_audit_queue_length", float64(n))
		say("agentapi_audit_lag_seconds", lag.Seconds())
	}
	if s.Pools != nil {
		s.Pools(func(pool string, used, idle, most int) {
			say("agentapi_storage_connections", float64(used), pool, "used")
			say("agentapi_storage_connections", float64(idle), pool, "idle")
			say("agentapi_storage_connections", float64(most), pool, "max")
		})
	}
	if s.Programs != nil {
		s.Programs(func(name agent.Name, running, idle int) {
			say("agentapi_processes", float64(running), string(name), "running")
			say("agentapi_processes", float64(idle), string(name), "idle")
		})
	}
	if s.Redis != nil {
		open, made, failed := s.Redis()
		say("agentapi_cache_connections", float64(open))
		count := func(n int64, result string) {
			out <- prometheus.MustNewConstMetric(a.descriptions["agentapi_cache_dials_total"], prometheus.CounterValue, float64(n), result)
		}
		count(made, "ok")
		count(failed, "error")
	}
}
