package admin

import (
	"context"
	"strconv"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/quota"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Limits knows what those may use who were given no limits, and is told when somebody
// was.
type Limits interface {
	Standard(quota.Tier) quota.Limits
	// Hear has the limits that were given looked up anew.
	Hear()
}

// Limited is whose limits are meant: a member's, a key's, or the organisation's where
// neither is set.
type Limited struct {
	Org  tenancy.OrgID
	User tenancy.UserID
	Key  tenancy.KeyID
}

// Bounded is the limits of an organisation, a member or a key.
type Bounded struct {
	Limited
	Given   quota.Own
	Holds   []quota.Effective
	Version int // of the organisation, the member or the key
	Updated time.Time
}

// Limits tells what an organisation, a member or a key may use, and where each limit is
// from.
func (s *Service) Limits(ctx context.Context, who tenancy.Principal, of Limited) (Bounded, error) {
	in, err := who.Realm(of.Org, tenancy.ReadUsage)
	if err != nil {
		return Bounded{}, err
	}
	return s.bounded(ctx, s.Storage.Directory(), in, of)
}

func (s *Service) bounded(ctx context.Context, d ports.Directory, in tenancy.Realm, of Limited) (b Bounded, err error) {
	b.Limited = of
	o, err := d.Org(ctx, in.Org())
	if err != nil {
		return b, err
	}
	within := s.standard(quota.Organization).Instead(o.Limits)
	switch {
	case !of.User.IsZero():
		m, err := d.Member(ctx, in, of.User)
		if err != nil {
			return b, err
		}
		b.Given, b.Version, b.Updated = m.Limits, m.Version, m.Updated
		b.Holds = quota.Holding(s.standard(quota.User), m.Limits, within)
	case !of.Key.IsZero():
		k, err := d.Key(ctx, in, of.Key)
		if err != nil {
			return b, err
		}
		b.Given, b.Version, b.Updated = k.Limits, k.Version, k.Updated
		b.Holds = quota.Holding(s.standard(quota.Key), k.Limits, within)
	default:
		b.Given, b.Version, b.Updated = o.Limits, o.Version, o.Updated
		b.Holds = quota.Holding(s.standard(quota.Organization), o.Limits, quota.Limits{})
	}
	return b, nil
}

func (s *Service) standard(t quota.Tier) quota.Limits {
	if s.Params.Limits == nil {
		return quota.Limits{}
	}
	return s.Params.Limits.Standard(t)
}

// EditLimits gives an organisation limits, which only the platform may do, or a member
// or a key, and takes back those that are nil. fault.Invalid: it is more than the
// organisation may use.
func (s *Service) EditLimits(ctx context.Context, who tenancy.Principal, of Limited, versions []int, change map[quota.Bound]*int64) (after Bounded, err error) {
	in, err := who.Realm(of.Org, tenancy.WriteBudgets)
	whole, target := of.User.IsZero() && of.Key.IsZero(), of.Org.String()
	if whole && err == nil {
		err = who.May(tenancy.WritePlatform)
	}
	if err != nil {
		return after, err
	}
	if !of.Key.IsZero() {
		target = of.Key.String()
	}
	details := make(map[string]string)
	for b, n := range change {
		details[string(b)] = "default"
		if n != nil {
			details[string(b)] = strconv.FormatInt(*n, 10)
		}
	}
	told := note(who, audit.LimitsChanged, target, details)
	if !of.User.IsZero() {
		told = on(who, audit.LimitsChanged, in, of.User, details)
	}
	err = s.change(ctx, within(in.Org(), told), func(ctx context.Context, d ports.Directory) error {
		before, err := s.bounded(ctx, d, in, of)
		if err == nil {
			err = expect(versions, before.Version)
		}
		if err != nil {
			return err
		}
		own, err := before.Given.With(change)
		if err != nil {
			return err
		}
		if !whole {
			if err := s.affordable(ctx, d, in, change); err != nil {
				return err
			}
		}
		if err := s.give(ctx, d, in, of, own); err != nil {
			return err
		}
		after, err = s.bounded(ctx, d, in, of)
		return err
	})
	if s.Params.Limits != nil {
		s.Params.Limits.Hear() // whatever became of it
	}
	return after, err
}

// affordable refuses limits that are higher than the organisation's.
func (s *Service) affordable(ctx context.Context, d ports.Directory, in tenancy.Realm, change map[quota.Bound]*int64) error {
	o, err := d.Org(ctx, in.Org())
	if err != nil {
		return err
	}
	most := s.standard(quota.Organization).Instead(o.Limits)
	for _, b := range quota.Bounds() {
		if n, m := change[b], most.Of(b); n != nil && m > 0 && (*n > m || *n == 0) {
			return fault.Invalidf(string(b), "out_of_range", "%s can be %d at most: that is what the organisation may use.", b, m)
		}
	}
	return nil
}

// give stores limits.
func (s *Service) give(ctx context.Context, d ports.Directory, in tenancy.Realm, of Limited, own quota.Own) error {
	at := s.Now()
	switch {
	case !of.User.IsZero():
		return d.UpdateMember(ctx, in, of.User, func(m *tenancy.Member) error {
			m.Limits, m.Updated = own, at
			return nil
		})
	case !of.Key.IsZero():
		return d.UpdateKey(ctx, in, of.Key, func(k *tenancy.APIKey) error {
			k.Limits, k.Updated = own, at
			return nil
		})
	default:
		return d.UpdateOrg(ctx, in.Org(), func(o *tenancy.Org) error {
			if err := o.Apply(tenancy.Edit{}, at); err != nil {
				return err
			}
			o.Limits = own
			return nil
		})
	}
}
