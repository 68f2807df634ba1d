package oidc

import (
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Options configures the identity.
type Options struct {
	Issuers []Issuer `yaml:"issuers" doc:"the providers whose tokens are taken; AUTHKIT_JWKS_URL, WORKOS_CLIENT_ID or OIDC_ISSUER name one where none is listed"`
}

// Issuer is one provider.
type Issuer struct {
	Issuer      Names             `yaml:"issuer" doc:"the iss of its tokens; a list if it has several names, of which the first is what the server calls it"`
	JWKSURL     string            `yaml:"jwks_url" doc:"where its keys are; asked of the issuer's /.well-known/openid-configuration if absent"`
	Audience    Names             `yaml:"audience" doc:"a token must be meant for one of these; if absent its audience is not looked at"`
	Claims      Claims            `yaml:"claims" doc:"what the claims of its tokens are called"`
	RoleMap     map[string]string `yaml:"role_map" doc:"its names of roles, each with org_owner, org_admin, org_auditor, org_member or service; owner, admin, auditor and member if absent; a role that is not named makes an org_member"`
	ClientID    string            `yaml:"client_id" doc:"the public client at the provider, without a secret, by which agentapi login logs people in; everybody may know it; OIDC_CLIENT_ID"`
	Scopes      []string          `yaml:"scopes" doc:"what agentapi login asks for besides openid"`
	MaxLifetime time.Duration     `yaml:"max_lifetime" doc:"the longest that a token may be good for, from its iat to its exp: 24h if absent"`
}

// Claims are the names of a token's claims.
type Claims struct {
	User        string `yaml:"user" doc:"who: sub if absent"`
	Org         string `yaml:"org" doc:"the organisation: org_id if absent"`
	Role        string `yaml:"role" doc:"a role: role if absent"`
	Roles       string `yaml:"roles" doc:"a list of roles: roles if absent"`
	Permissions string `yaml:"permissions" doc:"a list of permissions: permissions if absent; platform:admin makes a platform admin"`
	Email       string `yaml:"email" doc:"the e-mail address, which invitations go by: email if absent"`
	Verified    string `yaml:"email_verified" doc:"true where the address is verified; nothing else is taken for it: email_verified if absent"`
}

// Names is one name or a list of them.
type Names []string

// OneOrMany tells the configuration that a single name will do.
func (Names) OneOrMany() {}

// What an issuer's entry may leave out.
const defaultLifetime = 24 * time.Hour

func defaultRoles() map[string]string {
	return map[string]string{
		"owner": string(tenancy.OrgOwner), "admin": string(tenancy.OrgAdmin),
		"auditor": string(tenancy.OrgAuditor), "member": string(tenancy.OrgMember),
	}
}

// complete fills in what an entry leaves out.
func (i Issuer) complete() Issuer {
	for _, c := range []struct {
		name     *string
		fallback string
	}{
		{&i.Claims.User, "sub"}, {&i.Claims.Org, "org_id"}, {&i.Claims.Role, "role"},
		{&i.Claims.Roles, "roles"}, {&i.Claims.Permissions, "permissions"},
		{&i.Claims.Email, "email"}, {&i.Claims.Verified, "email_verified"},
	} {
		if *c.name == "" {
			*c.name = c.fallback
		}
	}
	if i.RoleMap == nil {
		i.RoleMap = defaultRoles()
	}
	if i.MaxLifetime == 0 {
		i.MaxLifetime = defaultLifetime
	}
	return i
}

// Validate refuses what cannot work and what would not be safe.
func (o *Options) Validate() error {
	if len(o.Issuers) == 0 {
		return fault.Invalidf("issuers", "invalid_value", "oidc.issuers is empty: name a provider there, or set WORKOS_CLIENT_ID, AUTHKIT_JWKS_URL or OIDC_ISSUER")
	}
	seen := map[string]bool{}
	for n, i := range o.Issuers {
		at := "oidc.issuers[" + strconv.Itoa(n) + "]"
		if len(i.Issuer) == 0 {
			return fault.Invalidf(at+".issuer", "invalid_value", "%s.issuer is missing", at)
		}
		if len(i.Issuer) > 1 && i.JWKSURL == "" {
			return fault.Invalidf(at+".jwks_url", "invalid_value", "%s.jwks_url is missing: an issuer of several names does not say where its keys are", at)
		}
		for _, name := range i.Issuer {
			if !safeURL(name) {
				return fault.Invalidf(at+".issuer", "invalid_value", "%s.issuer: %q must be an https:// address (http:// on this machine only)", at, name)
			}
			if seen[name] {
				return fault.Invalidf(at+".issuer", "invalid_value", "%s.issuer: %s is there twice", at, name)
			}
			seen[name] = true
		}
		if i.JWKSURL != "" && !safeURL(i.JWKSURL) {
			return fault.Invalidf(at+".jwks_url", "invalid_value", "%s.jwks_url: %q must be an https:// address (http:// on this machine only)", at, i.JWKSURL)
		}
		if slices.Contains(i.Audience, "") {
			return fault.Invalidf(at+".audience", "invalid_value", "%s.audience has an empty name", at)
		}
		for _, name := range slices.Sorted(maps.Keys(i.RoleMap)) {
			switch role, err := tenancy.ParseRole(i.RoleMap[name]); {
			case err != nil:
				return fault.Invalidf(at+".role_map", "invalid_value", "%s.role_map.%s: %v", at, name, err)
			case role == tenancy.PlatformAdmin || role == tenancy.PlatformAuditor:
				return fault.Invalidf(at+".role_map", "invalid_value", "%s.role_map.%s: an organisation's role never makes a %s; name those in identity.platform_admins", at, name, role)
			}
		}
	}
	return nil
}

// safeURL tells whether what comes from there is the named host's: by https, or
// from this machine.
func safeURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (strings.EqualFold(u.Hostname(), "localhost") || ip != nil && ip.IsLoopback())
}
