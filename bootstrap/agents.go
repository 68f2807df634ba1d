package bootstrap

import (
	"go.uber.org/fx"

	"agentapi/adapters/agent/demo"
	"agentapi/adapters/agent/openai"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
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
	driver.Slots[ports.Agent]("agent", "agents", (*configs.Config).AgentNames),
)
