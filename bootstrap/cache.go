package bootstrap

import (
	"context"

	"go.uber.org/fx"

	"agentapi/adapters/cache/memory"
	"agentapi/adapters/cache/redis"
	"agentapi/adapters/cache/share"
	"agentapi/adapters/telemetry/prometheus"
	"agentapi/application/outage"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/ports"
)

// Shared is what all servers of a deployment share and may lose.
type Shared struct {
	ports.Cache
	ports.Limiter
	ports.Bulletin
	link *redis.Client // nil: nothing is beyond this process
}

// Beyond says whether others than this process share it.
func (s Shared) Beyond() bool { return s.link != nil }

// Stop gives up the connections.
func (s Shared) Stop(ctx context.Context) error {
	if s.link == nil {
		return nil
	}
	return s.link.Stop(ctx)
}

// Cache holds what may be lost at any time, and how much of the limits is in use.
var Cache = fx.Module("cache",
	driver.Provide("cache", func() driver.Driver[Shared] {
		return driver.For("memory", func(o memory.Options) (Shared, error) {
			c, err := memory.Open(o)
			return Shared{Cache: c, Limiter: memory.NewLimiter(), Bulletin: memory.NewBulletin()}, err
		})
	}),
	driver.Provide("cache", func(c *configs.Config, away *outage.Registry) driver.Driver[Shared] {
		return driver.For("redis", func(o redis.Options) (Shared, error) {
			client, err := redis.Connect(o)
			if err != nil {
				return Shared{}, err
			}
			client.Watch(away.Teller(outage.Redis, "cache"))
			limiter := share.New(share.Params{
				Shared: redis.NewLimiter(client), Own: memory.NewLimiter(), Instances: max(1, c.Limits.Instances),
				Changed: away.Teller(outage.Redis, "limits"),
			})
			return Shared{Cache: redis.Cache{Client: client}, Limiter: limiter, Bulletin: redis.NewBulletin(client), link: client}, nil
		})
	}),
	driver.Slot[Shared]("cache", "cache"),
	fx.Provide(
		func(s Shared, m *prometheus.Metrics) ports.Cache {
			if m == nil {
				return s.Cache
			}
			return m.Cache(s.Cache)
		},
		func(s Shared, m *prometheus.Metrics) ports.Limiter {
			if m == nil {
				return s.Limiter
			}
			return m.Limiter(s.Limiter)
		},
		func(s Shared) ports.Bulletin { return s.Bulletin },
	),
)
