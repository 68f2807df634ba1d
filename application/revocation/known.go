package revocation

import (
	"context"
	"maps"
	"slices"
	"time"

	"agentapi/application/completion"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// known is how callers of an organisation stand.
type known struct {
	org     *tenancy.Org // nil: there is none
	users   map[tenancy.UserID]*tenancy.User
	members map[tenancy.UserID]*tenancy.Member
	keys    map[tenancy.KeyID]*tenancy.APIKey
}

// known looks up callers of an organisation, many at once.
func (s *Service) known(ctx context.Context, org tenancy.OrgID, callers []completion.Caller) (k known, err error) {
	k = known{users: make(map[tenancy.UserID]*tenancy.User), members: make(map[tenancy.UserID]*tenancy.Member), keys: make(map[tenancy.KeyID]*tenancy.APIKey)}
	if k.org, err = s.Directory.Org(ctx, org); err != nil {
		if fault.Is(err, fault.NotFound) {
			err = nil
		}
		return k, err
	}
	users, keys := make(map[tenancy.UserID]bool), make(map[tenancy.KeyID]bool)
	for _, c := range callers {
		if users[c.User] = true; !c.Key.IsZero() {
			keys[c.Key] = true
		}
	}
	in := tenancy.RealmOf(org)
	err = each(users, k.users, func(u *tenancy.User) tenancy.UserID { return u.ID }, func(ids []tenancy.UserID, q page.Query) (page.Of[*tenancy.User], error) {
		return s.Directory.Users(ctx, tenancy.UserFilter{IDs: ids}, q)
	})
	if err == nil {
		err = each(users, k.members, func(m *tenancy.Member) tenancy.UserID { return m.User }, func(ids []tenancy.UserID, q page.Query) (page.Of[*tenancy.Member], error) {
			return s.Directory.Members(ctx, in, tenancy.MemberFilter{Users: ids}, q)
		})
	}
	if err == nil {
		err = each(keys, k.keys, func(k *tenancy.APIKey) tenancy.KeyID { return k.ID }, func(ids []tenancy.KeyID, q page.Query) (page.Of[*tenancy.APIKey], error) {
			return s.Directory.Keys(ctx, in, tenancy.KeyFilter{IDs: ids}, q)
		})
	}
	return k, err
}

// each gathers what is found by ids, a page of them at a time.
func each[K comparable, V any](ids map[K]bool, into map[K]*V, id func(*V) K, find func([]K, page.Query) (page.Of[*V], error)) error {
	for some := range slices.Chunk(slices.Collect(maps.Keys(ids)), page.MaxLimit) {
		found, err := find(some, page.Query{Limit: page.MaxLimit})
		if err != nil {
			return err
		}
		for _, v := range found.Items {
			into[id(v)] = v
		}
	}
	return nil
}

// refusal says why a caller may not call any more; nil: they may.
func (k known) refusal(c completion.Caller, at time.Time) error {
	if !c.Key.IsZero() {
		key := k.keys[c.Key]
		if key == nil {
			return fault.New(fault.Unauthenticated, "This API key is not there any more.").WithCode("invalid_api_key")
		}
		if err := key.Good(at); err != nil {
			return err
		}
	}
	standing := tenancy.Standing{Org: k.org, User: k.users[c.User], Member: k.members[c.User]}
	if standing.Org == nil || standing.User == nil || standing.Member == nil {
		return fault.New(fault.Forbidden, "You do not belong to this organisation any more.").WithCode("user_unknown")
	}
	return standing.Refusal()
}
