package bootstrap

import (
	"strings"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
	"go.uber.org/zap"

	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/ports"
)

// DriverOptions gives what each driver reads, by the path in the configuration:
// storage.sqlite, agents.openai and so on.
func DriverOptions() configs.Drivers {
	out := configs.Drivers{}
	collect := fx.Invoke(fx.Annotate(func(s []driver.Driver[ports.Storage], c []driver.Driver[Shared], i []driver.Driver[ports.Authenticator], a []driver.Driver[ports.Agent]) {
		add(out, "storage", s)
		add(out, "cache", c)
		add(out, "identity", i)
		add(out, "agents", a)
	}, fx.ParamTags(`group:"storage"`, `group:"cache"`, `group:"identity"`, `group:"agent"`)))
	app := fx.New(fx.WithLogger(func() fxevent.Logger { return fxevent.NopLogger }),
		fx.Supply(Setting{}, zap.NewNop(), &configs.Config{}), Telemetry, Storage, Cache, Identity, Agents, collect)
	if err := app.Err(); err != nil {
		return configs.Drivers{} // a defect of the wiring, which the start shows too
	}
	return out
}

func add[P any](out configs.Drivers, port string, all []driver.Driver[P]) {
	for _, d := range all {
		out[port+"."+d.Name] = d.Options
	}
}

// DriverPaths gives a function that tells whether a driver reads its options at
// a path; for an agent the path has the agent's name in the middle.
func DriverPaths() func(path string) bool {
	known := DriverOptions()
	return func(path string) bool {
		parts := strings.Split(path, ".")
		if parts[0] == "agents" && len(parts) == 3 {
			parts = []string{parts[0], parts[2]}
		}
		_, ok := known[strings.Join(parts, ".")]
		return ok
	}
}

// Check opens everything that c names, and starts nothing.
func Check(c *configs.Config) error {
	app := App(c, NewSetting("", ""), zap.NewNop())
	if err := app.Err(); err != nil {
		return Cause(err)
	}
	return nil
}
