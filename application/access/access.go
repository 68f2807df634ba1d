// Package access tells who calls, and whether they may come in.
package access

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Service authenticates callers. It is safe for concurrent use.
type Service struct {
	Params
	admins  map[Admin]bool
	cache   *cache
	changed chan struct{} // holds one while a change of a standing has not been taken

	noted noted
}

// Params is what a Service needs.
type Params struct {
	Chain     []ports.Authenticator // asked in order until one knows the credential
	Storage   ports.Storage
	Admins    []Admin // who are platform admins, whatever their credential says
	Strangers Strangers
	Audit     *trail.Recorder // nil: nothing is recorded
	Now       func() time.Time
	Bulletin  ports.Bulletin // nil: no other server is told
}

// Admin names a platform admin. A name is an issuer's own: the same subject
// elsewhere is somebody else.
type Admin struct{ Issuer, Subject string }

// Strangers says what becomes of those who come with a good credential and are not
// known.
type Strangers struct {
	RefuseOrgs  bool // of an organisation that nobody has made here
	RefuseUsers bool // who are no members of theirs
}

// New makes a Service.
func New(p Params) *Service {
	s := &Service{Params: p, admins: make(map[Admin]bool), cache: newCache(p.Now), changed: make(chan struct{}, 1)}
	for _, a := range p.Admins {
		s.admins[a] = true
	}
	return s
}

// Authenticate makes a principal of a bearer credential that was presented from
// somewhere. Whoever is not known yet is enrolled, unless strangers are refused and no
// invitation is there, or an identity provider says who belongs to the organisation. What
// is known of a caller is asked for again after 30 s at the latest; refusals are
// never remembered. fault.Unauthenticated: the credential is bad (code
// invalid_api_key). fault.Forbidden: it names no organisation, one that is
// suspended, or a user who is, or it is used from elsewhere than it may be.
// fault.Unavailable: it could not be checked.
func (s *Service) Authenticate(ctx context.Context, bearer string, from tenancy.Origin) (tenancy.Principal, error) {
	hash := sha256.Sum256([]byte(bearer))
	p, ok := s.cache.get(hash)
	if !ok {
		at := s.cache.mark()
		var (
			known tenancy.Scope
			err   error
		)
		if p, known, err = s.admit(ctx, bearer); err != nil {
			return tenancy.Principal{}, s.refused(ctx, known, from, err)
		}
		s.cache.put(hash, p, at)
	}
	if k := p.Key(); k != nil && !k.AllowsFrom(from.Address) {
		return tenancy.Principal{}, s.refused(ctx, p.Scope(), from, fault.New(fault.Forbidden, "This API key may not be used from your address.").WithCode("insufficient_permissions"))
	}
	return p.At(from), nil
}

// Configured tells whether the configuration names platform admins, so that there
// is one whatever the directory says.
func (s *Service) Configured() bool { return len(s.admins) > 0 }

// Names tells whether the configuration names a user as a platform admin.
func (s *Service) Names(u *tenancy.User) bool { return s.admins[Admin{u.Issuer, u.Subject}] }

// admit also tells who was refused, where that is somebody who is known.
func (s *Service) admit(ctx context.Context, bearer string) (p tenancy.Principal, known tenancy.Scope, err error) {
	for _, a := range s.Chain {
		who, ok, err := a.Authenticate(ctx, bearer)
		if err != nil {
			return p, known, err
		}
		if ok {
			return s.principal(ctx, who)
		}
	}
	return p, known, fault.New(fault.Unauthenticated, "Incorrect API key provided.").WithCode("invalid_api_key").
		WithHint("Keys are this server's own, not a provider's: use the token that it printed at start, or ask its operator.")
}

// principal looks up how an identity stands, and gives it its role. An organisation
// and a subject have ids that follow from their names at their issuer, always the same.
func (s *Service) principal(ctx context.Context, who tenancy.Identity) (p tenancy.Principal, refused tenancy.Scope, err error) {
	var (
		org  tenancy.OrgID
		user tenancy.UserID
	)
	switch {
	case who.Key != nil:
		org, user = who.Key.Org, who.Key.User
	case who.Subject == "":
		p, err = tenancy.NewPrincipal(who, org, user)
		return p, refused, err
	case who.Org == "":
		user = named(user, who.Issuer, who.Subject)
		if org, err = s.place(ctx, who, user); err != nil {
			return p, refused, err
		}
		if org.IsZero() {
			p, err = tenancy.NewPrincipal(who, org, user)
			return p, refused, err
		}
	default:
		org, user = named(org, who.Issuer, who.Org), named(user, who.Issuer, who.Subject)
	}
	known, err := s.Storage.Directory().Standing(ctx, org, user)
	if err == nil && known.Member == nil && known.Org != nil && known.Org.Status == tenancy.Closed {
		return p, refused, known.Refusal() // of whom nothing is stored there
	}
	if err == nil {
		known, err = s.enrol(ctx, who, org, user, known)
	}
	if err != nil {
		return p, refused, err
	}
	if err := known.Refusal(); err != nil {
		return p, tenancy.RealmOf(org).Of(user), err
	}
	who.Role = s.role(who, known)
	p, err = tenancy.NewPrincipal(who, org, user)
	return p.Within(known.Org.Models), refused, err
}

// role is what the caller may be: what was given here counts more than what a token
// says, and a key is bounded by its owner.
func (s *Service) role(who tenancy.Identity, known tenancy.Standing) tenancy.Role {
	own := known.Member.Role
	if who.Key == nil && who.Role.IsPlatform() {
		own = who.Role
	}
	if known.User.Platform != "" {
		own = known.User.Platform
	}
	if s.Names(known.User) {
		own = tenancy.PlatformAdmin
	}
	if who.Key != nil {
		return who.Key.Role.Lesser(own)
	}
	return own
}

// enrol makes known what is not, or has changed at the issuer.
func (s *Service) enrol(ctx context.Context, who tenancy.Identity, org tenancy.OrgID, user tenancy.UserID, known tenancy.Standing) (tenancy.Standing, error) {
	if who.Key != nil {
		if known.Org == nil || known.User == nil || known.Member == nil {
			return known, fault.New(fault.Unauthenticated, "The owner of this API key is not there any more.").WithCode("invalid_api_key")
		}
		return known, nil
	}
	if known.Member == nil {
		var err error
		if known, err = s.welcome(ctx, who, org, user, known); err != nil {
			return known, err
		}
	}
	if known.Member == nil && who.Org == "" { // it was taken back just now
		_, err := tenancy.NewPrincipal(who, tenancy.OrgID{}, user)
		return known, err
	}
	at := s.Now()
	role := who.Role
	if role.IsPlatform() { // it says nothing of the organisation
		role = tenancy.OrgMember
	}
	// Who administers the platform makes room for others, and so gets in first.
	admin := who.Role == tenancy.PlatformAdmin || s.admins[Admin{who.Issuer, who.Subject}] || known.User != nil && known.User.Platform == tenancy.PlatformAdmin
	var missing tenancy.Standing
	if known.Org == nil {
		if s.Strangers.RefuseOrgs && !admin {
			return known, fault.New(fault.Forbidden, "Your organisation is not known here.").WithCode("org_unknown").WithHint("Ask whoever runs this server to add it.")
		}
		missing.Org = &tenancy.Org{ID: org, Issuer: who.Issuer, Name: who.Org, Title: who.Org, Status: tenancy.Active, Version: 1, Created: at, Updated: at}
		known.Org = missing.Org
	}
	if known.User == nil {
		missing.User = &tenancy.User{ID: user, Issuer: who.Issuer, Subject: who.Subject, Status: tenancy.Active, Version: 1, Created: at, Updated: at}
		known.User = missing.User
	}
	shut := s.Strangers.RefuseUsers
	if known.Member == nil && !admin && !shut {
		var err error
		if shut, err = s.provisioned(ctx, org); err != nil {
			return known, err
		}
	}
	switch m := known.Member; {
	case m == nil && shut && !admin:
		return known, fault.New(fault.Forbidden, "You are not known here.").WithCode("user_unknown").WithHint("Ask an administrator of your organisation to add you.")
	case m == nil:
		missing.Member = &tenancy.Member{Org: org, User: user, Name: who.Subject, Email: who.Email, Role: role, Status: tenancy.Active, Version: 1, Created: at, Updated: at}
		known.Member = missing.Member
	case !m.Given && m.Role != role:
		var err error
		if known.Member, err = s.assume(ctx, tenancy.RealmOf(org).Of(user), role); err != nil {
			return known, err
		}
	}
	if missing != (tenancy.Standing{}) {
		return known, s.Storage.Directory().Enrol(ctx, missing)
	}
	return known, nil
}

// assume gives a member the role that their token says, unless one was given here
// meanwhile, and records it.
func (s *Service) assume(ctx context.Context, who tenancy.Scope, role tenancy.Role) (now *tenancy.Member, err error) {
	entry, err := s.Audit.Entry(ctx, trail.Note{Who: who, Action: audit.MemberChanged, About: who, Details: map[string]string{"by": "token", "role": string(role)}})
	if err != nil {
		return nil, err
	}
	err = s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		settled := false
		err := tx.Directory().UpdateMember(ctx, tenancy.RealmOf(who.Org()), who.User(), func(m *tenancy.Member) error {
			if settled = m.Given || m.Role == role; !settled {
				m.Role, m.Updated = role, s.Now()
			}
			c := *m
			now = &c
			return nil
		})
		if err != nil || settled {
			return err
		}
		return s.Audit.Append(ctx, tx, entry)
	})
	return now, err
}

// provisioned tells whether an identity provider says who belongs to an organisation.
// Nobody else does so by coming, then: whom it has removed would be back at once.
func (s *Service) provisioned(ctx context.Context, org tenancy.OrgID) (bool, error) {
	_, people, err := s.Storage.Roster().People(ctx, tenancy.RealmOf(org), roster.Filter{}, 0, 0)
	return people > 0, err
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

// UserOf is the id of a subject at an issuer.
func UserOf(issuer, subject string) tenancy.UserID {
	return named(tenancy.UserID{}, issuer, subject)
}

// OrgOf is the id of an organisation at an issuer.
func OrgOf(issuer, name string) tenancy.OrgID { return named(tenancy.OrgID{}, issuer, name) }

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

// Ready returns nil where credentials of some kind can be checked; otherwise why the
// first kind cannot. It asks nobody.
func (s *Service) Ready() error {
	var first error
	for _, a := range s.Chain {
		can, ok := a.(interface{ Ready() error })
		if !ok {
			return nil
		}
		err := can.Ready()
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}
