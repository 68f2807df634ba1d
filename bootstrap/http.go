package bootstrap

import (
	"slices"

	"go.uber.org/fx"
	"go.uber.org/zap"

	web "agentapi/adapters/http"
	"agentapi/adapters/http/discovery"
	"agentapi/adapters/http/docs"
	"agentapi/adapters/identity/oidc"
	"agentapi/adapters/telemetry/prometheus"
	"agentapi/application/access"
	"agentapi/application/admin"
	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/application/conversations"
	"agentapi/application/operations"
	"agentapi/application/provision"
	"agentapi/application/reports"
	"agentapi/application/vitals"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
)

// HTTP serves the application. It starts last and stops first.
var HTTP = fx.Module("http",
	fx.Provide(newServer),
	fx.Invoke(func(*web.Server) {}),
)

func newServer(c *configs.Config, a *access.Service, adm *admin.Service, op *operations.Service, rep *reports.Service, prov *provision.Service, comp *completion.Service, cat *catalog.Current, conv *conversations.Service,
	v *vitals.Service, numbers *prometheus.Metrics, t tracing, log *zap.Logger, life fx.Lifecycle) *web.Server {
	p := web.Params{
		Options: web.Options{
			Addr: c.Server.Addr, AllowedHosts: c.Server.AllowedHosts, MaxBody: c.Server.MaxBody,
			DrainDelay: c.Server.DrainDelay, Drain: c.Server.Drain, Heartbeat: c.Server.Heartbeat, ReadTimeout: c.Server.ReadTimeout,
			Resumable: c.Resume.Window > 0,
		},
		Access: a, Admin: adm, Operations: op, Reports: rep, Provision: prov, Completer: comp, Catalog: cat, Conversations: conv, Vitals: v, Logins: logins(c), Log: log, Version: Version().Version,
		Description: docs.Description{YAML: configs.OpenAPI(), JSON: configs.OpenAPIJSON, LLMs: configs.LLMs()},
	}
	if numbers != nil {
		p.Meter = numbers
		if c.Telemetry.Metrics.Public {
			p.Metrics = numbers.Text
		}
	}
	if t != nil {
		p.Tracer = t
	}
	s := web.New(p)
	driver.Hook(life, s)
	return s
}

// logins are the providers whose tokens are taken, as clients may know them.
func logins(c *configs.Config) (out []discovery.Login) {
	var o oidc.Options
	if !slices.Contains(c.Identity.Chain, "oidc") || c.Decode("identity.oidc", &o) != nil {
		return nil // what is wrong there stops the start with the identity
	}
	for _, i := range o.Issuers {
		l := discovery.Login{Issuer: i.Issuer[0], ClientID: i.ClientID, Scopes: i.Scopes}
		if len(i.Audience) > 0 {
			l.Audience = i.Audience[0]
		}
		out = append(out, l)
	}
	return out
}
