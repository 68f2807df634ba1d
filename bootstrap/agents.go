package bootstrap

import (
	"go.uber.org/fx"
	"go.uber.org/zap"

	"agentapi/adapters/agent/demo"
	"agentapi/adapters/agent/exec"
	"agentapi/adapters/agent/guard"
	"agentapi/adapters/agent/openai"
	"agentapi/adapters/agent/process"
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
	driver.Provide("agent", func() driver.Driver[ports.Agent] {
		return driver.For("exec", func(o exec.Options) (ports.Agent, error) { return exec.Open(o) })
	}),
	driver.Slots("agent", "agents", (*configs.Config).AgentNames, guarded),
	fx.Invoke(endOrphans),
)

// endOrphans has the programs ended that a server left running when it was
// killed. A server without programs has none.
func endOrphans(c *configs.Config, log *zap.Logger, life fx.Lifecycle) {
	for _, a := range c.Agents {
		if a.Driver != "exec" {
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
