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

// How long an agent that was switched off on one instance may work on another while
// servers cannot tell each other: this long, and a look at the storage.
const (
	switchEvery = 10 * time.Second
	switchLimit = 5 * time.Second
)

func newOperations(c *configs.Config, cat *catalog.Current, comp *completion.Service, v *vitals.Service, ways *routing.Service, storage ports.Storage, bulletin ports.Bulletin, rec *trail.Recorder, s Setting, life fx.Lifecycle) *operations.Service {
	p := operations.Params{
		Storage: storage, Catalog: cat, Completion: comp, Vitals: v, Routing: ways, Audit: rec, Described: described(c, c),
		Now: now, Random: func(b []byte) { rand.Read(b) }, Bulletin: bulletin, Every: switchEvery, Limit: switchLimit, Instance: s.Instance, Version: Version().Version,
	}
	svc := operations.New(p)
	driver.Hook(life, svc)
	background(life, svc.Run)
	return svc
}

// described is what operators see of the configuration that holds: what can change while
// the server runs is as it is now, all else as at the start.
func described(start, now *configs.Config) operations.Described {
	d := operations.Described{Profiles: make(map[agent.Name]operations.Profile)}
	for name, a := range now.Agents {
		d.Profiles[agent.Name(name)] = operations.Profile{
			Driver: a.Driver, Concurrent: a.Limits.Concurrent, Queue: a.Limits.Queue, FirstEvent: a.Limits.FirstEvent, Idle: a.Limits.Idle, Total: a.Limits.Total,
		}
	}
	for _, c := range []*configs.Config{start, now} {
		for _, v := range c.Settings() {
			if live(v.Path) == (c == now) || start == now {
				d.Settings = append(d.Settings, operations.Setting(v))
			}
		}
		if start == now {
			break
		}
	}
	return d
}
