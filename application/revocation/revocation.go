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
	Running() []completion.Running
	// Revoke ends what runs of whom refusal refuses, whose error their clients are told.
	Revoke(refusal func(completion.Running) error)
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

// caller is who runs something.
type caller struct {
	org  tenancy.OrgID
	user tenancy.UserID
	key  tenancy.KeyID // zero: they have come in person
}

func callerOf(r completion.Running) caller { return caller{r.Org, r.User, r.Key} }

// look ends what runs of whom may not call any more. Of whom that cannot be told it is
// told the next time.
func (s *Service) look(ctx context.Context) {
	present := make(map[tenancy.OrgID]map[caller]bool)
	for _, r := range s.Runs.Running() {
		if present[r.Org] == nil {
			present[r.Org] = make(map[caller]bool)
		}
		present[r.Org][callerOf(r)] = true
	}
	refused := make(map[caller]error)
	for org, callers := range present {
		known, err := s.known(ctx, org, callers)
		if err != nil {
			continue
		}
		for c := range callers {
			if err := known.refusal(c, s.Now()); err != nil {
				refused[c] = err
			}
		}
	}
	if len(refused) > 0 {
		s.Runs.Revoke(func(r completion.Running) error { return refused[callerOf(r)] })
	}
}
