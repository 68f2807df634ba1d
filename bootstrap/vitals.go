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

	Catalog *catalog.Service
	Storage ports.Storage
	Cache   ports.Cache
	Access  *access.Service
	Log     *trail.Service
	Outages *outage.Registry
}

func newVitals(c *configs.Config, w watched, obs ports.Observer, s Setting, life fx.Lifecycle) *vitals.Service {
	p := vitals.Params{
		Storage: w.Storage, Catalog: w.Catalog, Observer: obs, Outages: w.Outages, Care: make(map[agent.Name]vitals.Care), Limit: tellLimit,
		Now: now, Random: func(b []byte) { rand.Read(b) }, Instance: s.Instance, Identity: w.Access.Ready,
	}
	if log := w.Log; log != nil {
		p.Audit = func() *audit.Finding { return log.State().Finding() }
	}
	if far, ok := w.Cache.(interface{ Probe(context.Context) error }); ok {
		p.Cache = far.Probe
	}
	for _, e := range w.Catalog.Entries() {
		name := string(e.Name)
		h := c.Agents[name].Health
		p.Care[e.Name] = vitals.Care{Every: h.Interval, Limit: h.Timeout, By: agent.Hysteresis{Failures: h.Failures, Successes: h.Successes}}
		p.Configured = append(p.Configured, agent.Described{Name: e.Name, Type: c.Agents[name].Driver, Config: c.Shown("agents." + name), Models: e.Models})
	}
	svc := vitals.New(p)
	background(life, svc.Run)
	return svc
}
