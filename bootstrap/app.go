// Package bootstrap puts the application together as the configuration says.
package bootstrap

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"go.uber.org/dig"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
	"go.uber.org/zap"

	"agentapi/configs"
)

// Setting is what the process brings besides the configuration.
type Setting struct {
	DataDir  string // where drivers keep their files
	DevToken string // the token of the built-in development identity; may be empty
	Instance string // this process, as others see it
	// Load reads the configuration again, and Level sets how much is logged; nil: that
	// stays as it is.
	Load  func() (*configs.Config, error)
	Level func(level string) error
}

// NewSetting makes the setting of this process.
func NewSetting(dataDir, devToken string) Setting {
	var b [8]byte
	rand.Read(b[:])
	return Setting{DataDir: dataDir, DevToken: devToken, Instance: hex.EncodeToString(b[:])}
}

// App is the application that c describes. More options may add drivers or take
// parts out of it; a program of somebody else's own can so bring an agent.
func App(c *configs.Config, s Setting, log *zap.Logger, more ...fx.Option) *fx.App {
	return fx.New(
		fx.Supply(c, s, log),
		fx.WithLogger(func() fxevent.Logger { return fxevent.NopLogger }),
		fx.StartTimeout(c.Server.StartTimeout), fx.StopTimeout(c.Server.StopTimeout),
		Telemetry, Storage, Cache, Identity, Agents, Application, HTTP, Watching,
		fx.Options(more...),
	)
}

// Cause is the root of an error that fx gives, without the way that it took.
func Cause(err error) error { return dig.RootCause(err) }

func now() time.Time { return time.Now() }
