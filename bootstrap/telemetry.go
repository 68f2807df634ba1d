package bootstrap

import (
	"go.uber.org/fx"
	"go.uber.org/zap"

	"agentapi/adapters/telemetry"
	"agentapi/adapters/telemetry/listener"
	"agentapi/adapters/telemetry/prometheus"
	"agentapi/adapters/telemetry/zaplog"
	"agentapi/application/outage"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/ports"
)

// Telemetry tells operators what happens.
var Telemetry = fx.Module("telemetry",
	fx.Provide(
		newMetrics,
		newTracing,
		newObserver,
		func(obs ports.Observer) *outage.Registry { return outage.New(obs, now) },
	),
)

// tracing makes spans of what happens; nil: nobody does.
type tracing interface {
	Begin(parent, method string) ports.Span
	Agent(name, driver string, inner ports.Agent) ports.Agent
	Watch(of string) ports.Watch
}

// newMetrics makes the metrics, or nil where nobody could read them.
func newMetrics(c *configs.Config) *prometheus.Metrics {
	if !c.Telemetry.Metrics.Counted() {
		return nil
	}
	b := Version()
	return prometheus.New(prometheus.Build{Version: b.Version, Revision: b.Revision, Go: b.Go}, c.Billing.Currency, now())
}

func newObserver(log *zap.Logger, m *prometheus.Metrics) ports.Observer {
	all := telemetry.Observers{zaplog.NewObserver(log)}
	if m != nil {
		all = append(all, m)
	}
	return all
}

// listen serves what is for operators alone.
func listen(c *configs.Config, m *prometheus.Metrics, life fx.Lifecycle) {
	t := c.Telemetry
	if !t.Metrics.Enabled && !t.Pprof {
		return
	}
	p := listener.Params{Addr: t.Listen, Pprof: t.Pprof}
	if t.Metrics.Enabled {
		p.Metrics = m.Handler()
	}
	driver.Hook(life, listener.New(p))
}
