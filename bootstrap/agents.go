package bootstrap

import (
	"go.uber.org/fx"

	"agentapi/adapters/agent/demo"
	"agentapi/adapters/agent/exec"
	"agentapi/adapters/agent/guard"
	"agentapi/adapters/agent/openai"
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
	driver.Slots[ports.Agent]("agent", "agents", (*configs.Config).AgentNames),
	fx.Decorate(guarded),
)

// guarded puts a guard around every agent.
func guarded(c *configs.Config, agents map[string]ports.Agent) map[string]ports.Agent {
	out := make(map[string]ports.Agent, len(agents))
	for name, a := range agents {
		l, b := c.Agents[name].Limits, c.Agents[name].Breaker
		out[name] = guard.New(agent.Name(name), a, guard.Policy{
			Concurrent: l.Concurrent, Queue: l.Queue, FirstEvent: l.FirstEvent, Idle: l.Idle, Total: l.Total,
			Failures: b.Failures, Within: b.Within, Open: b.Open,
		})
	}
	return out
}
