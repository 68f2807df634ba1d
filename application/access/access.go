// Package access tells who calls.
package access

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Service authenticates callers. It is safe for concurrent use.
type Service struct {
	chain  []ports.Authenticator
	admins map[Admin]bool
	cache  *cache
}

// Params is what a Service needs.
type Params struct {
	Chain  []ports.Authenticator // asked in order until one knows the credential
	Admins []Admin               // who are platform admins, whatever their credential says
	Now    func() time.Time      // if nil, nothing is remembered
}

// Admin names a platform admin. A name is an issuer's own: the same subject
// elsewhere is somebody else.
type Admin struct{ Issuer, Subject string }

// New makes a Service.
func New(p Params) *Service {
	s := &Service{chain: p.Chain, admins: make(map[Admin]bool), cache: newCache(p.Now)}
	for _, a := range p.Admins {
		s.admins[a] = true
	}
	return s
}

// Authenticate makes a principal of a bearer credential. One that expires is
// verified again after 30 s at the latest; refusals are never remembered.
// fault.Unauthenticated: it is bad (code invalid_api_key). fault.Forbidden: it
// names no organisation. fault.Unavailable: it could not be checked.
func (s *Service) Authenticate(ctx context.Context, bearer string) (tenancy.Principal, error) {
	key := sha256.Sum256([]byte(bearer))
	if who, ok := s.cache.get(key); ok {
		return s.principal(who)
	}
	for _, a := range s.chain {
		who, ok, err := a.Authenticate(ctx, bearer)
		if err != nil {
			return tenancy.Principal{}, err
		}
		if ok {
			s.cache.put(key, who)
			return s.principal(who)
		}
	}
	return tenancy.Principal{}, fault.New(fault.Unauthenticated, "Incorrect API key provided.").WithCode("invalid_api_key").
		WithHint("Keys are this server's own, not a provider's: use the token that it printed at start, or ask its operator.")
}

// principal gives an identity its ids: those of its organisation and subject at
// their issuer, always the same.
func (s *Service) principal(who tenancy.Identity) (tenancy.Principal, error) {
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
	if s.admins[Admin{who.Issuer, who.Subject}] {
		who.Role = tenancy.PlatformAdmin
	}
	return tenancy.NewPrincipal(who, org, user)
}

// Org gives the id of an organisation that is named by its id, or by its issuer
// and its name there, with a slash between. fault.Invalid.
func Org(ref string) (tenancy.OrgID, error) {
	return referred(ref, tenancy.ParseOrgID)
}

// User gives the id of a user who is named like an organisation is to Org.
func User(ref string) (tenancy.UserID, error) {
	return referred(ref, tenancy.ParseUserID)
}

func referred[K id.Kind](ref string, parse func(string) (id.ID[K], error)) (found id.ID[K], err error) {
	i := strings.LastIndexByte(ref, '/')
	if i > 0 && i < len(ref)-1 {
		return named(found, ref[:i], ref[i+1:]), nil
	}
	if found, err = parse(ref); err != nil {
		return found, fault.Invalidf("", "invalid_id", "%q is neither an id nor an issuer and a name, such as dev/acme.", ref)
	}
	return found, nil
}

func named[K id.Kind](_ id.ID[K], issuer, name string) id.ID[K] {
	return id.Named[K](issuer + "\x00" + name)
}
