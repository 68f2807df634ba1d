package admin

import (
	"context"
	"strconv"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/retention"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Kept is how long an organisation's data is kept.
type Kept struct {
	Org     *tenancy.Org
	Holds   retention.Policy
	Longest retention.Policy // by the configuration, which the organisation can only shorten
	Own     bool             // the organisation has times of its own
}

// Retention tells how long an organisation's data is kept.
func (s *Service) Retention(ctx context.Context, who tenancy.Principal, org tenancy.OrgID) (Kept, error) {
	o, err := s.Org(ctx, who, org)
	if err != nil {
		return Kept{}, err
	}
	return s.kept(o), nil
}

func (s *Service) kept(o *tenancy.Org) Kept {
	longest, own := s.Policies.Of(o.ID)
	return Kept{o, longest.Within(o.Keeps), longest, own || o.Keeps != tenancy.Keeps{}}
}

// Bounds of what an organisation may ask for.
const (
	leastKept = time.Hour
	mostKept  = 100 * 365 * 24 * time.Hour
)

// KeepEdit is a change of how long data is kept; nil leaves it, zero has it kept as
// long as the server does.
type KeepEdit struct{ Sessions, Usage *time.Duration }

// EditRetention has an organisation's data kept for less time. fault.Invalid: it
// would be kept longer than the configuration says.
func (s *Service) EditRetention(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, versions []int, e KeepEdit) (Kept, error) {
	in, err := who.Realm(org, tenancy.WriteData)
	if err != nil {
		return Kept{}, err
	}
	longest, _ := s.Policies.Of(org)
	details := map[string]string{}
	for _, k := range []struct {
		param   string
		wish    *time.Duration
		longest time.Duration
	}{{"sessions_seconds", e.Sessions, longest.Sessions}, {"usage_seconds", e.Usage, longest.Usage}} {
		if k.wish == nil {
			continue
		}
		details[k.param] = strconv.FormatInt(int64(*k.wish/time.Second), 10)
		switch w := *k.wish; {
		case w == 0:
		case w < leastKept || w > mostKept:
			return Kept{}, fault.Invalidf(k.param, "out_of_range", "%s must be from %d on; null has it kept as long as the server does.", k.param, int64(leastKept/time.Second))
		case k.longest > 0 && w > k.longest:
			return Kept{}, fault.Invalidf(k.param, "out_of_range", "%s can be %d at most: whoever runs this server keeps it no longer.", k.param, int64(k.longest/time.Second))
		}
	}
	var after tenancy.Org
	err = s.change(ctx, within(org, note(who, audit.OrgChanged, org.String(), details)), func(ctx context.Context, d ports.Directory) error {
		return d.UpdateOrg(ctx, in.Org(), func(o *tenancy.Org) error {
			if err := expect(versions, o.Version); err != nil {
				return err
			}
			if e.Sessions != nil {
				o.Keeps.Sessions = *e.Sessions
			}
			if e.Usage != nil {
				o.Keeps.Usage = *e.Usage
			}
			if err := o.Apply(tenancy.Edit{}, s.Now()); err != nil {
				return err
			}
			after = *o
			after.Version++
			return nil
		})
	})
	if err != nil {
		return Kept{}, err
	}
	return s.kept(&after), nil
}
