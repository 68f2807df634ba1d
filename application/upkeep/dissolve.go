package upkeep

import (
	"context"
	"strconv"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// dissolve removes all that is stored of an organisation: its members, one after the
// other, and what else it has; that there was one stays. It may be done again from the
// start. fault.Conflict: a member administers the platform.
func (s *Service) dissolve(ctx context.Context, in tenancy.Realm, tell func(total int) error) (total int, err error) {
	if total, err = s.disband(ctx, in, tell); err != nil {
		return total, err
	}
	for n := -1; n != 0; {
		if n, err = s.Storage.Upkeep().Dissolve(ctx, in, batch); err != nil {
			return total, err
		}
		total += n
		if err := tell(total); err != nil {
			return total, err
		}
	}
	entry, err := s.Audit.Entry(ctx, trail.Note{Action: audit.OrgErased, Actor: audit.System, Org: in.Org(), Target: in.Org().String(), Details: map[string]string{"rows": strconv.Itoa(total)}})
	if err != nil {
		return total, err
	}
	return total, s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		err := tx.Directory().UpdateOrg(ctx, in.Org(), func(o *tenancy.Org) error {
			o.Erase(s.Now())
			return nil
		})
		if err != nil {
			return err
		}
		return s.Audit.Append(ctx, tx, entry)
	})
}

// disband erases all members.
func (s *Service) disband(ctx context.Context, in tenancy.Realm, tell func(total int) error) (total int, err error) {
	for {
		found, err := s.Storage.Directory().Members(ctx, in, tenancy.MemberFilter{}, page.Query{Limit: page.MaxLimit})
		if err != nil || len(found.Items) == 0 {
			return total, err
		}
		for _, m := range found.Items {
			known, err := s.Storage.Directory().Standing(ctx, in.Org(), m.User)
			if err != nil {
				return total, err
			}
			if known.User != nil && known.User.Platform != "" {
				return total, tenancy.Administers()
			}
			n, err := s.erase(ctx, in.Of(m.User), s.NewUser(), func(rows int) error { return tell(total + rows) })
			if total += n; err != nil {
				return total, err
			}
		}
	}
}
