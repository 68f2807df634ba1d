package admin

import (
	"context"
	"strings"

	"agentapi/domain/audit"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// maxNoted is how much of the allowed models stands in the log.
const maxNoted = 1000

// AllowModels has an organisation ask for no other models than these; nil: for all, and a
// nil pointer leaves it as it is. Requests feel it at once on this instance, and on others
// as soon as their bulletin tells them. Only who administers the platform may.
func (s *Service) AllowModels(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, versions []int, names *[]string) (*tenancy.Org, error) {
	in, err := who.Realm(org, tenancy.WriteOrg)
	if err == nil {
		err = who.May(tenancy.WritePlatform)
	}
	if err != nil {
		return nil, err
	}
	var allowed tenancy.Models
	details := map[string]string{}
	if names != nil {
		if allowed, err = tenancy.NewModels(*names); err != nil {
			return nil, err
		}
		said := strings.Join(allowed.Names(), " ")
		details["models"] = said[:min(len(said), maxNoted)]
	}
	var after tenancy.Org
	err = s.change(ctx, within(org, note(who, audit.OrgChanged, org.String(), details)), func(ctx context.Context, d ports.Directory) error {
		return d.UpdateOrg(ctx, in.Org(), func(o *tenancy.Org) error {
			if err := expect(versions, o.Version); err != nil {
				return err
			}
			if names != nil {
				o.Models = allowed
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
		return nil, err
	}
	return &after, nil
}
