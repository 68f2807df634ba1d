package bootstrap

import (
	"context"
	"crypto/rand"
	"time"

	"go.uber.org/fx"

	"agentapi/application/access"
	"agentapi/application/catalog"
	"agentapi/application/outage"
	"agentapi/application/trail"
	"agentapi/application/vitals"
	"agentapi/configs"
	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/ports"
)

// tellLimit is how long the storage has to take how the agents are.
const tellLimit = 5 * time.Second

// watched is what the watch over the server looks at.
type watched struct {
	fx.In

	Catalog *catalog.Current
	Storage ports.Storage
	Cache   ports.Cache
	Access  *access.Service
	Log     *trail.Service
	Audit   *trail.Recorder
	Outages *outage.Registry
}

func newVitals(c *configs.Config, w watched, obs ports.Observer, s Setting, life fx.Lifecycle) *vitals.Service {
	p := vitals.Params{
		Storage: w.Storage, Catalog: w.Catalog, Observer: obs, Outages: w.Outages, Watched: watchedBy(c, w.Catalog.Now()), Limit: tellLimit,
		Now: now, Random: func(b []byte) { rand.Read(b) }, Instance: s.Instance, Identity: w.Access.Ready,
	}
	if log := w.Log; log != nil {
		p.Audit = func() *audit.Finding { return log.State().Finding() }
	}
	if far, ok := w.Cache.(interface{ Probe(context.Context) error }); ok {
		p.Cache = far.Probe
	}
	svc := vitals.New(p)
	background(life, svc.Run)
	background(life, func(ctx context.Context) { w.Outages.Record(ctx, w.Audit.Record) })
	return svc
}

// watchedBy is how the agents are watched by the configuration.
func watchedBy(c *configs.Config, cat *catalog.Service) vitals.Watched {
	w := vitals.Watched{Care: make(map[agent.Name]vitals.Care)}
	for _, e := range cat.Entries() {
		name := string(e.Name)
		h := c.Agents[name].Health
		w.Care[e.Name] = vitals.Care{Every: h.Interval, Limit: h.Timeout, By: agent.Hysteresis{Failures: h.Failures, Successes: h.Successes}}
		w.Configured = append(w.Configured, agent.Described{Name: e.Name, Type: c.Agents[name].Driver, Config: c.Shown("agents." + name), Models: e.Models})
	}
	return w
}
