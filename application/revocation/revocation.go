// Package revocation ends what runs on this server of callers who may not call any more.
package revocation

import (
	"context"
	"time"

	"agentapi/application/completion"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Params is what a Service works with.
type Params struct {
	Directory ports.Directory
	Runs      Runs
	Changed   <-chan struct{} // gives one when somebody's standing may have changed
	Now       func() time.Time
	Every     time.Duration // between two looks while nothing is heard of
	Limit     time.Duration // for one of them
}

// Runs is what runs.
type Runs interface {
	// Callers are those on whose behalf it does.
	Callers() map[completion.Caller]bool
	// Revoke ends what runs on behalf of those who are refused, and tells them why.
	Revoke(refused map[completion.Caller]error)
}

// Service looks whose requests run.
type Service struct{ Params }

// New makes a Service.
func New(p Params) *Service { return &Service{p} }

// Run looks whenever somebody's standing may have changed, and every Params.Every, until
// ctx ends. While the storage is away everybody goes on.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.Changed:
		}
		limited, cancel := context.WithTimeout(ctx, s.Limit)
		s.look(limited)
		cancel()
	}
}

// look ends what runs of whom may not call any more. Of whom that cannot be told it is
// told the next time.
func (s *Service) look(ctx context.Context) {
	present := make(map[tenancy.OrgID][]completion.Caller)
	for c := range s.Runs.Callers() {
		present[c.Org] = append(present[c.Org], c)
	}
	refused := make(map[completion.Caller]error)
	for org, callers := range present {
		known, err := s.known(ctx, org, callers)
		if err != nil {
			continue
		}
		for _, c := range callers {
			if err := known.refusal(c, s.Now()); err != nil {
				refused[c] = err
			}
		}
	}
	if len(refused) > 0 {
		s.Runs.Revoke(refused)
	}
}
