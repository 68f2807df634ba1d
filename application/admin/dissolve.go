package admin

import (
	"context"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/job"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// EraseOrg closes an organisation and has all that is stored of it removed; confirm is
// what it is called. Nobody gets in from then on. fault.Invalid: it is called something
// else. fault.Conflict: it is the caller's own, or a member administers the platform.
func (s *Service) EraseOrg(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, confirm string, o Once) (*job.Job, error) {
	if _, err := who.Realm(org, tenancy.WritePlatform); err != nil {
		return nil, err
	}
	if org == who.Org() {
		return nil, fault.New(fault.Conflict, "This is your own organisation: you would erase yourself.").WithCode("own_org")
	}
	j := s.queued(who, org, job.EraseOrg)
	n := within(org, note(who, audit.OrgErasureAsked, org.String(), map[string]string{"job": j.ID.String()}))
	return s.enqueue(ctx, who, j, n, o, func(ctx context.Context, tx ports.Repositories) error {
		if err := ungoverned(ctx, tx.Directory(), org); err != nil {
			return err
		}
		return tx.Directory().UpdateOrg(ctx, org, func(v *tenancy.Org) error {
			if confirm != v.Title {
				return fault.Invalidf("confirm", "invalid_value", "confirm must be what the organisation is called.").WithHint("GET /api/v1/orgs/{org} tells its name.")
			}
			v.Status, v.Updated = tenancy.Closed, s.Now()
			return nil
		})
	})
}

// ungoverned refuses an organisation with a member who administers the platform.
func ungoverned(ctx context.Context, d ports.Directory, org tenancy.OrgID) error {
	for q := (page.Query{Limit: page.MaxLimit}); ; {
		found, err := d.Users(ctx, tenancy.UserFilter{Platform: true}, q)
		if err != nil {
			return err
		}
		for _, u := range found.Items {
			known, err := d.Standing(ctx, org, u.ID)
			if err != nil {
				return err
			}
			if known.Member != nil {
				return tenancy.Administers()
			}
		}
		if !found.More {
			return nil
		}
		q.After = found.Items[len(found.Items)-1].ID.String()
	}
}
