package admin

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// NewKey asks for an API key.
type NewKey struct {
	Name     string
	Role     tenancy.Role // the most that it may be; empty: a member
	Models   []string
	Networks []netip.Prefix
	Expires  time.Time // zero: never
	Service  string    // in an organisation: the service account, which is made if it is not there
	SCIM     bool      // in an organisation: it provisions by SCIM, and does nothing else
}

// KeyEdit is a wish to change a key; nil leaves a part as it is.
type KeyEdit struct {
	Name     *string
	Models   *[]string
	Networks *[]netip.Prefix
	Expires  *time.Time
}

// MaxGrace is how long a key may stay good beside the one that replaces it.
const MaxGrace = 7 * 24 * time.Hour

// CreateKey makes a key of the caller's own, or of a service account of an
// organisation where org is not zero. The credential is given this once, and not for
// a repetition, whose credential is empty.
func (s *Service) CreateKey(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, n NewKey, o Once) (*tenancy.APIKey, string, error) {
	in, own, err := reach(who, org, tenancy.WriteKeys)
	if err != nil {
		return nil, "", err
	}
	at, user := s.Now(), who.User()
	var account tenancy.Standing
	if !own {
		if account, err = service(in.Org(), n.Service, at); err != nil {
			return nil, "", err
		}
		user, n.Role = account.User.ID, tenancy.Service
	} else if n.Role == "" {
		n.Role = tenancy.OrgMember.Lesser(who.Role())
	}
	k, credential, err := s.newKey(who, in, n, user, at)
	if err != nil {
		return nil, "", err
	}
	made, err := s.create(ctx, who, within(in.Org(), note(who, audit.KeyCreated, k.ID.String(), map[string]string{"role": string(k.Role), "service": n.Service, "scim": flag(n.SCIM)})), o, func(ctx context.Context, d ports.Directory) (string, error) {
		if account != (tenancy.Standing{}) {
			if err := d.Enrol(ctx, account); err != nil {
				return "", err
			}
		}
		return k.ID.String(), d.CreateKey(ctx, in, k)
	})
	if err != nil {
		return nil, "", err
	}
	if made == "" {
		return k, credential, nil
	}
	k, err = s.made(ctx, in, made)
	return k, "", err
}

// newKey makes a key of a user's, and its credential; nothing is stored.
func (s *Service) newKey(who tenancy.Principal, in tenancy.Realm, n NewKey, user tenancy.UserID, at time.Time) (*tenancy.APIKey, string, error) {
	k := &tenancy.APIKey{
		Org: in.Org(), User: user, Name: n.Name, Role: n.Role, Models: n.Models, Networks: n.Networks, SCIM: n.SCIM, Expires: n.Expires,
		Version: 1, Created: at, Updated: at,
	}
	if err := cmp.Or(exceeds(who, k), bound(who), k.Check(at)); err != nil {
		return nil, "", err
	}
	return k, s.arm(k), nil
}

// exceeds refuses a key that may do more than the caller.
func exceeds(who tenancy.Principal, k *tenancy.APIKey) error {
	if !k.Role.Within(who.Role()) {
		return fault.New(fault.Forbidden, "A key may not be more than you are: %s is more than %s.", k.Role, who.Role()).WithCode("insufficient_permissions").WithParam("role")
	}
	if k.SCIM {
		return who.May(tenancy.WriteSCIM)
	}
	return nil
}

// bound refuses a caller who has come by a key that is for some models or networks only:
// whoever has found it would come by others out of these bounds.
func bound(who tenancy.Principal) error {
	if by := who.Key(); by != nil && (len(by.Models) > 0 || len(by.Networks) > 0) {
		return fault.New(fault.Forbidden, "A key that is bound to models or networks makes and changes no keys.").WithCode("insufficient_permissions").
			WithHint("It can be rotated and revoked by itself.")
	}
	return nil
}

// made is the key that an earlier request has made.
func (s *Service) made(ctx context.Context, in tenancy.Realm, name string) (*tenancy.APIKey, error) {
	first, err := tenancy.ParseKeyID(name)
	if err != nil {
		return nil, fault.Internalf("a stored idempotency result names no key: %w", err)
	}
	return s.Storage.Directory().Key(ctx, in, first)
}

// flag is what is recorded of something that is so, or is not.
func flag(is bool) string {
	if is {
		return "true"
	}
	return ""
}

// arm gives a key an id, and the credential that proves it.
func (s *Service) arm(k *tenancy.APIKey) string {
	var random [10]byte
	s.Random(random[:])
	k.ID = tenancy.NewKeyID(k.Created, random)
	secret := tenancy.NewSecret(s.Random)
	k.Hash, k.Pepper = s.Pepper.Hash(secret), s.Pepper.Mark()
	credential := tenancy.Credential(k.ID, secret)
	k.Hint = tenancy.HintOf(credential)
	return credential
}

// service is the standing of a service account; its organisation is there.
func service(org tenancy.OrgID, name string, at time.Time) (tenancy.Standing, error) {
	if err := tenancy.ValidTitle("service", name); err != nil {
		return tenancy.Standing{}, err
	}
	subject := "service/" + org.String() + "/" + name
	user := named(tenancy.UserID{}, "agentapi\x00"+subject)
	return tenancy.Standing{
		User:   &tenancy.User{ID: user, Issuer: "agentapi", Subject: subject, Status: tenancy.Active, Version: 1, Created: at, Updated: at},
		Member: &tenancy.Member{Org: org, User: user, Name: name, Role: tenancy.Service, Given: true, Status: tenancy.Active, Version: 1, Created: at, Updated: at},
	}, nil
}

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

// OwnKeys lists the caller's own keys.
func (s *Service) OwnKeys(ctx context.Context, who tenancy.Principal, q page.Query) (page.Of[*tenancy.APIKey], error) {
	if err := who.May(tenancy.OwnKeys); err != nil {
		return page.Of[*tenancy.APIKey]{}, err
	}
	return paged(q, func(q page.Query) (page.Of[*tenancy.APIKey], error) {
		return s.Storage.Directory().Keys(ctx, who.Own(), tenancy.KeyFilter{Owner: who.User()}, q)
	})
}

// Keys lists keys of an organisation.
func (s *Service) Keys(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, f tenancy.KeyFilter, q page.Query) (page.Of[*tenancy.APIKey], error) {
	in, err := who.Realm(org, tenancy.ReadKeys)
	if err != nil {
		return page.Of[*tenancy.APIKey]{}, err
	}
	return paged(q, func(q page.Query) (page.Of[*tenancy.APIKey], error) {
		return s.Storage.Directory().Keys(ctx, in, f, q)
	})
}

// reach is the realm in which a caller may do something about a key, and whether it
// must be the caller's own: where no organisation is named.
func reach(who tenancy.Principal, org tenancy.OrgID, what tenancy.Permission) (in tenancy.Realm, own bool, err error) {
	if org.IsZero() {
		return who.Own(), true, who.May(tenancy.OwnKeys)
	}
	in, err = who.Realm(org, what)
	return in, false, err
}

// Key gives a key of an organisation; one of the caller's own where org is zero.
func (s *Service) Key(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id tenancy.KeyID) (*tenancy.APIKey, error) {
	in, own, err := reach(who, org, tenancy.ReadKeys)
	if err != nil {
		return nil, err
	}
	k, err := s.Storage.Directory().Key(ctx, in, id)
	if err == nil && own && k.User != who.User() {
		return nil, tenancy.NoKey()
	}
	return k, err
}

// EditKey changes a key that is in one of the versions; nil: in any. Where org is
// zero, it is one of the caller's own, as with the methods that follow.
func (s *Service) EditKey(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id tenancy.KeyID, versions []int, e KeyEdit) (*tenancy.APIKey, error) {
	return s.alter(ctx, who, audit.KeyChanged, org, id, versions, func(k *tenancy.APIKey, at time.Time) error {
		if err := cmp.Or(exceeds(who, k), bound(who)); err != nil {
			return err
		}
		if err := k.Good(at); err != nil {
			return fault.New(fault.Conflict, "The key is not good any more, and stays so.").WithCode("key_ended")
		}
		if e.Name != nil {
			k.Name = *e.Name
		}
		if e.Models != nil {
			k.Models = *e.Models
		}
		if e.Networks != nil {
			k.Networks = *e.Networks
		}
		if e.Expires != nil {
			k.Expires = *e.Expires
		}
		return k.Check(at)
	})
}

// RevokeKey ends a key; one that has ended stays as it is.
func (s *Service) RevokeKey(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id tenancy.KeyID, versions []int) (*tenancy.APIKey, error) {
	return s.alter(ctx, who, audit.KeyRevoked, org, id, versions, func(k *tenancy.APIKey, at time.Time) error {
		if k.Revoked.IsZero() {
			k.Revoked = at
		}
		return nil
	})
}

// alter changes a key.
func (s *Service) alter(ctx context.Context, who tenancy.Principal, what audit.Action, org tenancy.OrgID, id tenancy.KeyID, versions []int, change func(*tenancy.APIKey, time.Time) error) (*tenancy.APIKey, error) {
	in, own, err := reach(who, org, tenancy.WriteKeys)
	if err != nil {
		return nil, err
	}
	var after tenancy.APIKey
	err = s.change(ctx, within(in.Org(), note(who, what, id.String(), nil)), func(ctx context.Context, d ports.Directory) error {
		return d.UpdateKey(ctx, in, id, func(k *tenancy.APIKey) error {
			if own && k.User != who.User() {
				return tenancy.NoKey()
			}
			if err := expect(versions, k.Version); err != nil {
				return err
			}
			at := s.Now()
			if err := change(k, at); err != nil {
				return err
			}
			k.Updated = at
			after = *k
			after.Version++
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return &after, nil
}

// RotateKey makes a key like another, in its place: that one stays good for a time.
// The credential is given this once, and so only to whom the key belongs or, of a
// service account's, to who administers it: fault.Forbidden.
func (s *Service) RotateKey(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id tenancy.KeyID, grace time.Duration, o Once) (*tenancy.APIKey, string, error) {
	if grace < 0 || grace > MaxGrace {
		return nil, "", fault.Invalidf("grace_seconds", "out_of_range", "grace_seconds must be between 0 and %d.", int(MaxGrace.Seconds()))
	}
	in, own, err := reach(who, org, tenancy.WriteKeys)
	if err != nil {
		return nil, "", err
	}
	at := s.Now()
	armed := tenancy.APIKey{Created: at}
	credential := s.arm(&armed)
	var next tenancy.APIKey
	made, err := s.create(ctx, who, within(in.Org(), note(who, audit.KeyRotated, id.String(), map[string]string{"by": armed.ID.String()})), o, func(ctx context.Context, d ports.Directory) (string, error) {
		if err := receives(ctx, d, who, in, id, own); err != nil {
			return "", err
		}
		err := d.UpdateKey(ctx, in, id, func(k *tenancy.APIKey) error {
			if err := k.Good(at); err != nil {
				return fault.New(fault.Conflict, "The key is not good any more: make a new one.").WithCode("key_ended")
			}
			next = *k
			if end := at.Add(grace); k.Expires.IsZero() || k.Expires.After(end) {
				k.Expires = end
			}
			k.Updated = at
			return nil
		})
		if err != nil {
			return "", err
		}
		next.ID, next.Hash, next.Pepper, next.Hint = armed.ID, armed.Hash, armed.Pepper, armed.Hint
		next.Created, next.Updated, next.LastUsed, next.Version = at, at, time.Time{}, 1
		return next.ID.String(), d.CreateKey(ctx, in, &next)
	})
	if err != nil {
		return nil, "", err
	}
	if made == "" {
		return &next, credential, nil
	}
	k, err := s.made(ctx, in, made)
	return k, "", err
}

// receives refuses a caller who may not have the credential of a key: whoever presents
// it is its owner.
func receives(ctx context.Context, d ports.Directory, who tenancy.Principal, in tenancy.Realm, id tenancy.KeyID, own bool) error {
	k, err := d.Key(ctx, in, id)
	if err != nil {
		return err
	}
	if k.User != who.User() {
		if own {
			return tenancy.NoKey()
		}
		m, err := d.Member(ctx, in, k.User)
		if err != nil {
			return err
		}
		if m.Role != tenancy.Service {
			return fault.New(fault.Forbidden, "The key is somebody's own, and only they may have its credential.").WithCode("insufficient_permissions").
				WithHint("Revoke it, and have them make another.")
		}
	}
	if by := who.Key(); by == nil || by.ID != k.ID {
		err = bound(who)
	}
	return cmp.Or(exceeds(who, k), err)
}
