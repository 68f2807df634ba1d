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
	driver.Slots("agent", "agents", (*configs.Config).AgentNames, guarded),
)

// guarded puts a guard around an agent.
func guarded(c *configs.Config, name string, a ports.Agent) ports.Agent {
	l, b := c.Agents[name].Limits, c.Agents[name].Breaker
	return guard.New(agent.Name(name), a, guard.Policy{
		Concurrent: l.Concurrent, Queue: l.Queue, FirstEvent: l.FirstEvent, Idle: l.Idle, Total: l.Total,
		Failures: b.Failures, Within: b.Within, Open: b.Open,
	})
}
