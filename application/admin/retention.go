package admin

import (
	"context"

	"agentapi/domain/retention"
	"agentapi/domain/tenancy"
)

// Retention is how long an organisation's data is kept, and whether the
// organisation has a policy of its own.
func (s *Service) Retention(ctx context.Context, who tenancy.Principal, org tenancy.OrgID) (holds retention.Policy, own bool, err error) {
	o, err := s.Org(ctx, who, org)
	if err != nil {
		return retention.Policy{}, false, err
	}
	holds, own = s.Policies.Of(o.ID)
	return holds, own, nil
}
