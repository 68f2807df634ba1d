package bootstrap

import (
	"cmp"
	"os"
	"path/filepath"

	"go.uber.org/fx"
	"go.uber.org/zap"

	"agentapi/adapters/agent/ccr"
	"agentapi/adapters/agent/demo"
	"agentapi/adapters/agent/droid"
	"agentapi/adapters/agent/exec"
	"agentapi/adapters/agent/guard"
	"agentapi/adapters/agent/openai"
	"agentapi/adapters/agent/process"
	"agentapi/adapters/agent/relay"
	"agentapi/adapters/agent/vertex"
	"agentapi/application/trail"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/domain/agent"
	"agentapi/ports"
)

// Agents are what answers.
var Agents = fx.Module("agents",
	driver.Provide("agent", func() driver.Driver[ports.Agent] {
		return driver.For("demo", func(o demo.Options) (ports.Agent, error) { return demo.Open(o) })
	}),
	driver.Provide("agent", func() driver.Driver[ports.Agent] {
		return driver.For("openai", func(o openai.Options) (ports.Agent, error) { return openai.Open(o) })
	}),
	driver.Provide("agent", func(t telling) driver.Driver[ports.Agent] {
		return driver.For("exec", func(o exec.Options) (ports.Agent, error) { return t.opened("exec")(exec.Open(o)) })
	}),
	fx.Provide(newRelay, newTelling),
	driver.Provide("agent", func() driver.Driver[ports.Agent] {
		return driver.For("vertex", func(o vertex.Options) (ports.Agent, error) { return openVertex(o) })
	}),
	driver.Provide("agent", func(r *relay.Relay, t telling) driver.Driver[ports.Agent] {
		return driver.For("ccr", func(o ccr.Options) (ports.Agent, error) {
			o.Command = programAt(o.Command, "ccr", "CCROUTER_PATH")
			return t.opened("ccr")(ccr.Open(o, r, func(v ccr.Vertex) (ports.Agent, error) {
				return openVertex(vertex.Options{Project: v.Project, Location: v.Location, BaseURL: v.BaseURL, Credentials: v.Credentials, Thoughts: true})
			}))
		})
	}),
	driver.Provide("agent", func(r *relay.Relay, t telling, s Setting) driver.Driver[ports.Agent] {
		return driver.For("droid", func(o droid.Options) (ports.Agent, error) {
			o.Command = programAt(o.Command, "droid", "DROID_PATH")
			o.Dir = cmp.Or(o.Dir, filepath.Join(s.DataDir, "droid"))
			return t.opened("droid")(droid.Open(o, r))
		})
	}),
	fx.Provide(newFleet, (*fleet).agents),
	fx.Invoke(endOrphans),
)

// told is what is optional of the application: whoever asks for the drivers alone has
// no log.
type told struct {
	fx.In

	Rec *trail.Recorder `optional:"true"`
}

// telling has agents tell of their programs; nil: nobody.
type telling struct{ programs *trail.Programs }

func newTelling(t told, obs ports.Observer, life fx.Lifecycle) telling {
	if t.Rec == nil {
		return telling{}
	}
	p := trail.NewPrograms(t.Rec, obs)
	life.Append(fx.StopHook(p.Stop))
	return telling{p}
}

// teller is an agent that runs programs.
type teller interface {
	ports.Agent
	Tell(ports.Programs)
}

// opened gives what tells an agent of a driver whom to tell.
func (t telling) opened(driver string) func(teller, error) (ports.Agent, error) {
	return func(a teller, err error) (ports.Agent, error) {
		if err != nil {
			return nil, err
		}
		if t.programs != nil {
			a.Tell(t.programs.Of(driver))
		}
		return a, nil
	}
}

// newRelay makes the relay through which agents' programs reach their providers.
func newRelay(life fx.Lifecycle) *relay.Relay {
	r := relay.New()
	life.Append(fx.StopHook(r.Stop))
	return r
}

// openVertex fills in what the environment says where the configuration does not.
func openVertex(o vertex.Options) (ports.Agent, error) {
	o.Project = cmp.Or(o.Project, os.Getenv("VERTEX_AI_PROJECT_ID"), os.Getenv("GOOGLE_CLOUD_PROJECT"))
	o.Location = cmp.Or(o.Location, os.Getenv("VERTEX_AI_LOCATION"), os.Getenv("GOOGLE_CLOUD_LOCATION"), "us-central1")
	return vertex.Open(o)
}

// programAt is where a program is: as configured, else as the variable says.
func programAt(configured, usual, variable string) string {
	if configured == usual {
		return cmp.Or(os.Getenv(variable), usual)
	}
	return configured
}

// endOrphans has the programs ended that a server left running when it was
// killed. A server without programs has none.
func endOrphans(c *configs.Config, log *zap.Logger, life fx.Lifecycle) {
	for _, a := range c.Agents {
		if a.Driver != "exec" && a.Driver != "ccr" && a.Driver != "droid" {
			continue
		}
		life.Append(fx.StartHook(func() {
			if n := process.EndOrphans(); n > 0 {
				log.Warn("ended programs of a server that was killed", zap.Int("processes", n))
			}
		}))
		return
	}
}

// guarded puts a guard around an agent.
func guarded(c *configs.Config, name string, a ports.Agent) ports.Agent {
	l, b := c.Agents[name].Limits, c.Agents[name].Breaker
	return guard.New(agent.Name(name), a, guard.Policy{
		Concurrent: l.Concurrent, Queue: l.Queue, FirstEvent: l.FirstEvent, Idle: l.Idle, Total: l.Total,
		Failures: b.Failures, Within: b.Within, Open: b.Open,
	})
}
