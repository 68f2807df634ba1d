// Package admin is what callers do about themselves and their organisation, and
// operators about all: members, roles, API keys, organisations, administrators.
package admin

import (
	"context"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/page"
	"agentapi/domain/retention"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Params is what a Service works with.
type Params struct {
	Storage  ports.Storage
	Audit    *trail.Recorder // nil: nothing is recorded
	Data     Data
	Trail    Trail // nil: nobody looks after the audit log
	Access   Access
	Pepper   tenancy.Pepper
	Now      func() time.Time
	Random   func([]byte)       // fills with random bytes
	Instance string             // this server, as the owner of idempotency claims
	Policies retention.Policies // how long data is kept
	Budgets  Budgets            // nil: nobody remembers how budgets stand
	Limits   Limits             // nil: there are no standard limits
}

// Budgets is told when a budget has changed.
type Budgets interface {
	// Forget has budgets looked up anew, on all servers.
	Forget(ctx context.Context)
}

// Access is told when somebody's standing has changed.
type Access interface {
	// Forget has everybody's standing looked up anew, on all servers.
	Forget(ctx context.Context)
	// Configured tells whether the configuration names platform admins.
	Configured() bool
	// Names tells whether it names a user.
	Names(*tenancy.User) bool
}

// Service changes who may do what. Each change holds at once on this
// instance, and on the others as soon as their bulletin tells them. It
// is safe for concurrent use. Whoever may not do something gets fault.Forbidden;
// what is another organisation's is fault.NotFound.
type Service struct{ Params }

// New makes a Service.
func New(p Params) *Service { return &Service{p} }

// Me is who a caller is.
type Me struct {
	Caller tenancy.Principal
	Known  tenancy.Standing
}

// Me tells callers who they are here.
func (s *Service) Me(ctx context.Context, who tenancy.Principal) (Me, error) {
	if err := who.May(tenancy.ReadSelf); err != nil {
		return Me{}, err
	}
	known, err := s.Storage.Directory().Standing(ctx, who.Org(), who.User())
	return Me{who, known}, err
}

// change runs a change in one transaction with its record, and has its effect felt.
func (s *Service) change(ctx context.Context, n trail.Note, fn func(context.Context, ports.Directory) error) error {
	return s.transact(ctx, n, func(ctx context.Context, tx ports.Repositories) error { return fn(ctx, tx.Directory()) })
}

// transact is change for what is not of the directory.
func (s *Service) transact(ctx context.Context, n trail.Note, fn func(context.Context, ports.Repositories) error) error {
	entry, err := s.Audit.Entry(ctx, n)
	if err != nil {
		return err
	}
	err = s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return s.Audit.Append(ctx, tx, entry)
	})
	s.Access.Forget(ctx) // whatever became of it
	return err
}

// note says what a caller does.
func note(who tenancy.Principal, what audit.Action, target string, details map[string]string) trail.Note {
	return trail.Note{Who: who.Scope(), From: who.Origin(), Action: what, Target: target, Details: details}
}

// on says what a caller does to a member.
func on(who tenancy.Principal, what audit.Action, in tenancy.Realm, user tenancy.UserID, details map[string]string) trail.Note {
	return trail.Note{Who: who.Scope(), From: who.Origin(), Action: what, About: in.Of(user), Details: details}
}

// within has what is done in another organisation than the caller's stand in its log.
func within(org tenancy.OrgID, n trail.Note) trail.Note {
	if org != n.Who.Org() {
		n.Org = org
	}
	return n
}

// text is what a wish says, for the record.
func text[S ~string](wish *S) string {
	if wish == nil {
		return ""
	}
	return string(*wish)
}

// claimFor is how long an idempotency key is held where its server has died.
const claimFor = time.Minute

// Once makes the repetition of a creation harmless; the zero Once does not.
type Once struct {
	Key  idempotency.Key
	Body [32]byte // the fingerprint of the request body
}

// create runs a creation, which gives the name of what it made, once. made is the
// name of what an earlier request with the same key has made; empty: none has.
func (s *Service) create(ctx context.Context, who tenancy.Principal, n trail.Note, o Once, fn func(context.Context, ports.Directory) (string, error)) (made string, err error) {
	return s.once(ctx, who, n, o, func(ctx context.Context, tx ports.Repositories) (string, error) { return fn(ctx, tx.Directory()) })
}

// once is create for what is not of the directory.
func (s *Service) once(ctx context.Context, who tenancy.Principal, n trail.Note, o Once, fn func(context.Context, ports.Repositories) (string, error)) (made string, err error) {
	if o.Key == (idempotency.Key{}) {
		return "", s.transact(ctx, n, func(ctx context.Context, tx ports.Repositories) error {
			_, err := fn(ctx, tx)
			return err
		})
	}
	at := s.Now()
	claim := idempotency.Claim{Key: o.Key, Body: o.Body, Owner: s.Instance, At: at, Until: at.Add(claimFor)}
	out, err := s.Storage.Idempotency().Claim(ctx, who.Scope(), claim)
	if err != nil {
		return "", err
	}
	if out.Replay != nil {
		return out.Replay.ID, nil
	}
	entry, err := s.Audit.Entry(ctx, n)
	if err != nil {
		return "", err
	}
	err = s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		id, err := fn(ctx, tx)
		if err == nil {
			err = s.Audit.Append(ctx, tx, entry)
		}
		if err != nil {
			return err
		}
		return tx.Idempotency().Complete(ctx, who.Scope(), claim, idempotency.Result{ID: id, Created: at, Completed: at})
	})
	s.Access.Forget(ctx)
	if err != nil { // where this fails too, the claim lapses
		_ = s.Storage.Idempotency().Release(context.WithoutCancel(ctx), who.Scope(), claim)
	}
	return "", err
}

// expect refuses a version that a change was not meant for; nil: any was.
func expect(versions []int, have int) error {
	if versions == nil {
		return nil
	}
	for _, v := range versions {
		if v == have {
			return nil
		}
	}
	return fault.New(fault.Precondition, "It has changed meanwhile: it is in version %d now.", have).WithCode("version_mismatch")
}

// paged runs a list with a query that is in bounds.
func paged[T any](q page.Query, list func(page.Query) (page.Of[T], error)) (page.Of[T], error) {
	q, err := q.Normal()
	if err != nil {
		return page.Of[T]{}, err
	}
	return list(q)
}
