// Package access tells who calls.
package access

import (
	"context"

	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Service authenticates callers. It is safe for concurrent use.
type Service struct{ chain []ports.Authenticator }

// Params is what a Service needs.
type Params struct {
	Chain []ports.Authenticator // asked in order until one knows the credential
}

// New makes a Service.
func New(p Params) *Service { return &Service{chain: p.Chain} }

// Authenticate makes a principal of a bearer credential.
// fault.Unauthenticated: it is bad (code invalid_api_key). fault.Forbidden: it
// names no organisation. fault.Unavailable: it could not be checked.
func (s *Service) Authenticate(ctx context.Context, bearer string) (tenancy.Principal, error) {
	for _, a := range s.chain {
		who, ok, err := a.Authenticate(ctx, bearer)
		if err != nil {
			return tenancy.Principal{}, err
		}
		if ok {
			return principal(who)
		}
	}
	return tenancy.Principal{}, fault.New(fault.Unauthenticated, "Incorrect API key provided.").WithCode("invalid_api_key").
		WithHint("Keys are this server's own, not a provider's: use the token that it printed at start, or ask its operator.")
}

// principal gives an identity its ids: those of its organisation and subject at
// their issuer, always the same.
func principal(who tenancy.Identity) (tenancy.Principal, error) {
	var (
		org  tenancy.OrgID
		user tenancy.UserID
	)
	if who.Org != "" {
		org = named(org, who.Issuer, who.Org)
	}
	if who.Subject != "" {
		user = named(user, who.Issuer, who.Subject)
	}
	return tenancy.NewPrincipal(who, org, user)
}

func named[K id.Kind](_ id.ID[K], issuer, name string) id.ID[K] {
	return id.Named[K](issuer + "\x00" + name)
}
