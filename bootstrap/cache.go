package bootstrap

import (
	"go.uber.org/fx"

	"agentapi/adapters/cache/memory"
	"agentapi/bootstrap/driver"
	"agentapi/ports"
)

// Cache holds what may be lost at any time.
var Cache = fx.Module("cache",
	driver.Provide("cache", func() driver.Driver[ports.Cache] {
		return driver.For("memory", func(o memory.Options) (ports.Cache, error) { return memory.Open(o) })
	}),
	driver.Slot[ports.Cache]("cache", "cache"),
)
