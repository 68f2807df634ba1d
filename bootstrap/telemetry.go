package bootstrap

import (
	"go.uber.org/fx"

	"agentapi/adapters/telemetry/zaplog"
	"agentapi/application/outage"
	"agentapi/ports"
)

// Telemetry tells operators what happens.
var Telemetry = fx.Module("telemetry",
	fx.Provide(
		fx.Annotate(zaplog.NewObserver, fx.As(new(ports.Observer))),
		func(obs ports.Observer) *outage.Registry { return outage.New(obs, now) },
	),
)
