// Package provision is what an identity provider does to an organisation: it says
// who belongs to it, who does not any more, and what groups they are in.
package provision

import (
	"context"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Params is what a Service works with.
type Params struct {
	Storage ports.Storage
	Audit   *trail.Recorder // nil: nothing is recorded
	Access  Access
	Now     func() time.Time
	Random  func([]byte) // fills with random bytes
	// Issuer vouches for those whom the provider names, when they log in; empty: it is
	// not configured.
	Issuer string
	// ByName says that a person's user name is their subject at the issuer; else the
	// provider's id is.
	ByName bool
	Roles  roster.Roles // that groups stand for
}

// Access is told when somebody's standing has changed.
type Access interface {
	// Forget has everybody's standing looked up anew, on all servers.
	Forget(ctx context.Context)
}

// Service provisions the caller's organisation. Each change holds at once on this
// instance and soon on the others, and is recorded in its transaction. It is safe for concurrent use.
// Whoever may not provision gets fault.Forbidden.
type Service struct{ Params }

// New makes a Service.
func New(p Params) *Service { return &Service{p} }

// realm is the caller's organisation.
func realm(who tenancy.Principal) (tenancy.Realm, error) {
	return who.Realm(who.Org(), tenancy.WriteSCIM)
}

// change runs a change in one transaction with its records, and has its effect felt.
func (s *Service) change(ctx context.Context, notes []trail.Note, fn func(context.Context, ports.Repositories) error) error {
	entries := make([]audit.Entry, len(notes))
	for i, n := range notes {
		var err error
		if entries[i], err = s.Audit.Entry(ctx, n); err != nil {
			return err
		}
	}
	err := s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return s.Audit.Append(ctx, tx, entries...)
	})
	s.Access.Forget(ctx) // whatever became of it
	return err
}

// by is what every record of a change by a provider says.
const by = "scim"

// on says what a provider does to a member.
func on(who tenancy.Principal, what audit.Action, in tenancy.Realm, user tenancy.UserID, details map[string]string) trail.Note {
	return trail.Note{Who: who.Scope(), From: who.Origin(), Action: what, About: in.Of(user), Details: details}
}

// expect refuses a version that a change was not meant for; nil: any was.
func expect(versions []int, have int) error {
	for _, v := range versions {
		if v == have {
			return nil
		}
	}
	if versions == nil {
		return nil
	}
	return fault.New(fault.Precondition, "It has changed meanwhile: it is in version %d now.", have).WithCode("version_mismatch")
}
