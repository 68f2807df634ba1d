package operations

import (
	"context"

	"agentapi/domain/agent"
	"agentapi/domain/tenancy"
)

// Explain tells why a request went where it went. fault.NotFound: that is not known, any
// more.
func (s *Service) Explain(ctx context.Context, who tenancy.Principal, request string) (agent.Decision, error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return agent.Decision{}, err
	}
	return s.Routing.Explain(ctx, request)
}
