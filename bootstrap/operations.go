package bootstrap

import (
	"crypto/rand"
	"time"

	"go.uber.org/fx"

	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/application/operations"
	"agentapi/application/routing"
	"agentapi/application/trail"
	"agentapi/application/vitals"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/domain/agent"
	"agentapi/ports"
)

// How long an agent that was switched off on one instance may work on another: this
// long, and a look at the storage.
const (
	switchEvery = 10 * time.Second
	switchLimit = 5 * time.Second
)

func newOperations(c *configs.Config, cat *catalog.Service, comp *completion.Service, v *vitals.Service, ways *routing.Service, storage ports.Storage, rec *trail.Recorder, s Setting, life fx.Lifecycle) *operations.Service {
	p := operations.Params{
		Storage: storage, Catalog: cat, Completion: comp, Vitals: v, Routing: ways, Audit: rec, Profiles: make(map[agent.Name]operations.Profile),
		Now: now, Random: func(b []byte) { rand.Read(b) }, Every: switchEvery, Limit: switchLimit, Instance: s.Instance, Version: Version().Version,
	}
	for name, a := range c.Agents {
		p.Profiles[agent.Name(name)] = operations.Profile{
			Driver: a.Driver, Concurrent: a.Limits.Concurrent, Queue: a.Limits.Queue, FirstEvent: a.Limits.FirstEvent, Idle: a.Limits.Idle, Total: a.Limits.Total,
		}
	}
	for _, v := range c.Settings() {
		p.Settings = append(p.Settings, operations.Setting(v))
	}
	svc := operations.New(p)
	driver.Hook(life, svc)
	background(life, svc.Run)
	return svc
}
