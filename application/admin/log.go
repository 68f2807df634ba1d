package admin

import (
	"context"

	"agentapi/domain/audit"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// Log lists what was recorded in an organisation, or on the whole platform where
// org is zero.
func (s *Service) Log(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, f audit.Filter, q page.Query) (page.Of[audit.Sealed], error) {
	var none page.Of[audit.Sealed]
	if org.IsZero() {
		if err := who.May(tenancy.ReadPlatform); err != nil {
			return none, err
		}
	} else {
		in, err := who.Realm(org, tenancy.ReadAudit)
		if err != nil {
			return none, err
		}
		f.Org = in.Org()
	}
	return paged(q, func(q page.Query) (page.Of[audit.Sealed], error) { return s.Storage.Trail().List(ctx, f, q) })
}
