package bootstrap

import (
	"go.uber.org/fx"

	"agentapi/adapters/identity/dev"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Identity tells who presents a credential.
var Identity = fx.Module("identity",
	driver.Provide("identity", func(s Setting) driver.Driver[ports.Authenticator] {
		return driver.For("dev", func(o dev.Options) (ports.Authenticator, error) {
			if s.DevToken != "" {
				o.Tokens = append(o.Tokens, dev.Token{Token: s.DevToken, Org: "dev", User: "dev", Role: string(tenancy.PlatformAdmin)})
			}
			return dev.Open(o)
		})
	}),
	driver.Chain[ports.Authenticator]("identity", "identity", func(c *configs.Config) []string { return c.Identity.Chain }),
)
