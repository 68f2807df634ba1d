//go:build !nootel

package bootstrap

import (
	"context"

	"go.uber.org/fx"

	"agentapi/adapters/telemetry/otel"
	"agentapi/configs"
)

// newTracing makes what sends traces, or nil where nobody takes them.
func newTracing(c *configs.Config, s Setting, life fx.Lifecycle) (tracing, error) {
	t := c.Telemetry.Traces
	if t.Endpoint == "" {
		return nil, nil
	}
	tracer, err := otel.New(otel.Params{Endpoint: t.Endpoint, Sample: t.Sample, Service: t.Service, Version: Version().Version, Instance: s.Instance})
	if err != nil {
		return nil, err
	}
	life.Append(fx.StopHook(func(ctx context.Context) {
		_ = tracer.Stop(ctx) // a collector that is away must not make the stop fail
	}))
	return tracer, nil
}
