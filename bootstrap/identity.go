package bootstrap

import (
	"go.uber.org/fx"
	"go.uber.org/zap"

	"agentapi/adapters/identity/dev"
	"agentapi/adapters/identity/oidc"
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
	driver.Provide("identity", func(log *zap.Logger) driver.Driver[ports.Authenticator] {
		return driver.For("oidc", func(o oidc.Options) (ports.Authenticator, error) {
			return oidc.Open(o, oidc.Params{Now: now, Report: func(issuer string, err error) {
				if err != nil {
					log.Warn("the keys of an issuer cannot be fetched", zap.String("issuer", issuer), zap.Error(err))
					return
				}
				log.Info("the keys of an issuer can be fetched again", zap.String("issuer", issuer))
			}})
		})
	}),
	driver.Chain[ports.Authenticator]("identity", "identity", func(c *configs.Config) []string { return c.Identity.Chain }),
)
