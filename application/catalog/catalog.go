// Package catalog knows which models there are and which agents serve them.
package catalog

import (
	"context"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/tenancy"
)

// Listed is a model as callers see it.
type Listed struct {
	ID      string
	Created time.Time
	OwnedBy string
	Context int // tokens; 0: not known
}

// Service lists and resolves models. It is safe for concurrent use.
type Service struct{}

// Models lists what the caller may ask for, in a stable order: aliases, bare
// ids once, and agent/model.
func (s *Service) Models(ctx context.Context, who tenancy.Principal) ([]Listed, error) { return nil, nil }

// Model finds one by any of its names, those that a wildcard matches included.
// fault.NotFound with code model_not_found and the nearest names as a hint.
func (s *Service) Model(ctx context.Context, who tenancy.Principal, name string) (Listed, error) {
	return Listed{}, nil
}

// Resolve gives the candidates for a model's name, best first. fault.NotFound
// as in Model.
func (s *Service) Resolve(ctx context.Context, who tenancy.Principal, name string) (agent.Route, error) {
	return agent.Route{}, nil
}
