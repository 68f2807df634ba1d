// Package dev is an identity of fixed tokens, for development and for servers
// whose few callers are named in the configuration.
package dev

import (
	"context"
	"crypto/sha256"
	"fmt"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Options configures the identity.
type Options struct {
	Tokens []Token `yaml:"tokens" doc:"who may call, each with a token of their own; AGENTAPI_DEV_TOKEN adds one"`
}

// Token is one caller.
type Token struct {
	Token string `yaml:"token" secret:"true" doc:"the bearer token"`
	Org   string `yaml:"org" doc:"the organisation that the caller acts in"`
	User  string `yaml:"user" doc:"the caller's name"`
	Role  string `yaml:"role" doc:"platform_admin, platform_auditor, org_owner, org_admin, org_auditor, org_member or service; org_member if absent"`
}

// minToken is the shortest token that is taken: shorter ones can be guessed.
const minToken = 8

// Validate refuses tokens that are unsafe or name nobody.
func (o *Options) Validate() error {
	seen := map[string]bool{}
	for i, t := range o.Tokens {
		at := fmt.Sprintf("tokens[%d]", i)
		switch {
		case len(t.Token) < minToken:
			return fault.Invalidf(at+".token", "invalid_value", "%s.token must have at least %d characters", at, minToken)
		case seen[t.Token]:
			return fault.Invalidf(at+".token", "invalid_value", "%s.token is another caller's too", at)
		case t.Org == "" || t.User == "":
			return fault.Invalidf(at, "invalid_value", "%s needs an org and a user", at)
		}
		seen[t.Token] = true
		if t.Role != "" {
			if _, err := tenancy.ParseRole(t.Role); err != nil {
				return fault.Invalidf(at+".role", "invalid_value", "%s.role: %v", at, err)
			}
		}
	}
	return nil
}

// Identity is a ports.Authenticator of fixed tokens.
type Identity struct {
	// Tokens are found by their hash, so that how long it takes says nothing of
	// how much of a guess was right.
	byHash map[[sha256.Size]byte]tenancy.Identity
}

var _ ports.Authenticator = (*Identity)(nil)

// Open makes an Identity.
func Open(o Options) (*Identity, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	out := &Identity{byHash: make(map[[sha256.Size]byte]tenancy.Identity, len(o.Tokens))}
	for _, t := range o.Tokens {
		role := tenancy.OrgMember
		if t.Role != "" {
			role = tenancy.Role(t.Role)
		}
		out.byHash[sha256.Sum256([]byte(t.Token))] = tenancy.Identity{Issuer: "dev", Subject: t.User, Org: t.Org, Role: role, Method: "dev"}
	}
	return out, nil
}

// Authenticate finds the caller of a token.
func (i *Identity) Authenticate(_ context.Context, bearer string) (tenancy.Identity, bool, error) {
	who, ok := i.byHash[sha256.Sum256([]byte(bearer))]
	return who, ok, nil
}
