package bootstrap

import (
	"go.uber.org/fx"

	"agentapi/adapters/telemetry/zaplog"
	"agentapi/ports"
)

// Telemetry tells operators what happens.
var Telemetry = fx.Module("telemetry",
	fx.Provide(fx.Annotate(zaplog.NewObserver, fx.As(new(ports.Observer)))),
)
