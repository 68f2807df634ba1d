package bootstrap

import (
	"crypto/rand"
	"slices"

	"agentapi/adapters/identity/oidc"
	"agentapi/application/access"
	"agentapi/application/provision"
	"agentapi/application/trail"
	"agentapi/configs"
	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

func newProvision(c *configs.Config, storage ports.Storage, rec *trail.Recorder, a *access.Service) *provision.Service {
	p := provision.Params{
		Storage: storage, Audit: rec, Access: a, Now: now, Random: func(b []byte) { rand.Read(b) },
		Issuer: issuer(c), ByName: c.Identity.SCIM.Subject == "userName", Roles: make(roster.Roles),
	}
	for name, role := range c.Identity.SCIM.Groups {
		p.Roles[name] = tenancy.Role(role)
	}
	return provision.New(p)
}

// issuer is where those whom an identity provider names log in; empty: that is not
// clear.
func issuer(c *configs.Config) string {
	if i := c.Identity.SCIM.Issuer; i != "" {
		return i
	}
	if !slices.Contains(c.Identity.Chain, "oidc") {
		return "dev"
	}
	var login oidc.Options
	if c.Decode("identity.oidc", &login) != nil || len(login.Issuers) != 1 || len(login.Issuers[0].Issuer) == 0 {
		return ""
	}
	return login.Issuers[0].Issuer[0]
}
