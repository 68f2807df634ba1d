package access

import (
	"cmp"
	"context"
	"sync"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// refusal is what is recorded once a minute, so that a flood of it does not become
// one of the log.
type refusal struct {
	what audit.Action
	why  string        // a fault's code, or a permission
	who  tenancy.Scope // zero: nobody who is known
}

// maxNoted is how many refusals of known users are told apart in a minute.
const maxNoted = 1000

// noted are the refusals that were recorded in a minute. Its zero value is ready.
type noted struct {
	mu     sync.Mutex
	minute time.Time
	seen   map[refusal]bool
}

// first tells whether a refusal is the first of its minute.
func (n *noted) first(r refusal, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if minute := now.Truncate(time.Minute); n.seen == nil || !minute.Equal(n.minute) {
		n.minute, n.seen = minute, make(map[refusal]bool)
	}
	if len(n.seen) >= maxNoted {
		r.who = tenancy.Scope{}
	}
	if n.seen[r] {
		return false
	}
	n.seen[r] = true
	return true
}

// forget has a refusal be recorded the next time.
func (n *noted) forget(r refusal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.seen, r)
}

// refused records a refused credential, and whose it is where that is known. Where
// it cannot, that is the answer.
func (s *Service) refused(ctx context.Context, who tenancy.Scope, from tenancy.Origin, err error) error {
	f := fault.As(err)
	if f == nil || f.Kind != fault.Unauthenticated && f.Kind != fault.Forbidden {
		return err
	}
	n := trail.Note{Action: audit.AuthFailed, Actor: audit.System, Details: map[string]string{"reason": f.Code}}
	if !who.IsZero() {
		n.Who, n.From = who, from
	}
	return cmp.Or(s.once(ctx, n, f.Code), err)
}

// Denied records that a caller was refused for want of a permission, the first time
// in a minute. The error is then the one to answer with: the refusal, or that it
// could not be recorded.
func (s *Service) Denied(ctx context.Context, who tenancy.Principal, what tenancy.Permission, request string, err error) error {
	n := trail.Note{
		Action: audit.AccessDenied, Who: who.Scope(), From: who.Origin(), Request: request,
		Details: map[string]string{"permission": string(what), "role": string(who.Role())},
	}
	if f := fault.As(err); f != nil {
		n.Details["reason"] = f.Code
	}
	return cmp.Or(s.once(ctx, n, string(what)), err)
}

func (s *Service) once(ctx context.Context, n trail.Note, why string) error {
	r := refusal{n.Action, why, n.Who}
	if !s.noted.first(r, s.Now()) {
		return nil
	}
	n.Outcome = audit.Failed
	err := s.Audit.Record(ctx, n)
	if err != nil {
		s.noted.forget(r)
	}
	return err
}

// Crossed records that a platform role reads what is another organisation's, in that
// organisation's log. It must not be answered where it could not be recorded.
func (s *Service) Crossed(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, what tenancy.Permission, path, request string) error {
	return s.Audit.Record(ctx, trail.Note{
		Action: audit.OrgRead, Who: who.Scope(), Org: org, Target: path, Request: request,
		Details: map[string]string{"permission": string(what), "role": string(who.Role())},
	})
}
