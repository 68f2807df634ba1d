package bootstrap

import (
	"path/filepath"

	"go.uber.org/fx"

	"agentapi/adapters/storage/memory"
	"agentapi/adapters/storage/postgres"
	"agentapi/adapters/storage/sqlite"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/ports"
)

// Storage keeps what must outlive the process.
var Storage = fx.Module("storage",
	driver.Provide("storage", func() driver.Driver[ports.Storage] {
		return driver.For("memory", func(o memory.Options) (ports.Storage, error) { return memory.Open(o) })
	}),
	driver.Provide("storage", func(s Setting) driver.Driver[ports.Storage] {
		return driver.For("sqlite", func(o sqlite.Options) (ports.Storage, error) {
			if o.Path == "" {
				o.Path = filepath.Join(s.DataDir, "agentapi.db")
			}
			return sqlite.Open(o)
		})
	}),
	driver.Provide("storage", func(s Setting) driver.Driver[ports.Storage] {
		return driver.For("postgres", func(o postgres.Options) (ports.Storage, error) {
			o.Instance = s.Instance
			return postgres.Open(o)
		})
	}),
	driver.Slot[ports.Storage]("storage", "storage"),
)

// PostgresOptions gives what is configured for PostgreSQL, for commands that are
// about its schema.
func PostgresOptions(c *configs.Config) (o postgres.Options, err error) {
	o.SetDefaults()
	err = c.Decode("storage.postgres", &o)
	return o, err
}
