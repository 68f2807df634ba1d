package bootstrap

import (
	"go.uber.org/fx"

	"agentapi/adapters/cache/memory"
	"agentapi/adapters/cache/redis"
	"agentapi/application/outage"
	"agentapi/bootstrap/driver"
	"agentapi/ports"
)

// Cache holds what may be lost at any time.
var Cache = fx.Module("cache",
	driver.Provide("cache", func() driver.Driver[ports.Cache] {
		return driver.For("memory", func(o memory.Options) (ports.Cache, error) { return memory.Open(o) })
	}),
	driver.Provide("cache", func(away *outage.Registry) driver.Driver[ports.Cache] {
		return driver.For("redis", func(o redis.Options) (ports.Cache, error) {
			c, err := redis.Connect(o)
			if err == nil {
				c.Watch(away.Teller(outage.Redis, "cache"))
			}
			return redis.Cache{Client: c}, err
		})
	}),
	driver.Slot[ports.Cache]("cache", "cache"),
)
