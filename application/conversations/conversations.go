// Package conversations lets callers open, see, change and delete their stored
// sessions.
package conversations

import (
	"context"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Params is what a Service works with.
type Params struct {
	Storage  ports.Storage
	Now      func() time.Time
	Random   func([]byte)    // fills with random bytes
	Instance string          // this server, as the owner of idempotency claims
	Audit    *trail.Recorder // nil: nothing is recorded
}

// Service serves the caller's own sessions. It is safe for concurrent use.
type Service struct{ Params }

// New makes a Service.
func New(p Params) *Service { return &Service{p} }

// Get returns one session. fault.NotFound, code session_not_found.
func (s *Service) Get(ctx context.Context, who tenancy.Principal, id session.ID) (*session.Session, error) {
	return s.Storage.Sessions().Get(ctx, who.Scope(), id)
}

// List returns one page of those of the caller's sessions that f chooses.
// fault.Invalid for a filter or a query that is out of bounds.
func (s *Service) List(ctx context.Context, who tenancy.Principal, f session.Filter, q page.Query) (page.Of[*session.Session], error) {
	if err := f.Check(); err != nil {
		return page.Of[*session.Session]{}, err
	}
	q, err := q.Normal()
	if err != nil {
		return page.Of[*session.Session]{}, err
	}
	return s.Storage.Sessions().List(ctx, who.Scope(), f, q)
}

// Turns returns one page of a session's turns. fault.NotFound, fault.Invalid.
func (s *Service) Turns(ctx context.Context, who tenancy.Principal, id session.ID, q page.Query) (page.Of[session.Turn], error) {
	q, err := q.Normal()
	if err != nil {
		return page.Of[session.Turn]{}, err
	}
	return s.Storage.Sessions().Turns(ctx, who.Scope(), id, q)
}

// Edit changes a session that is in one of the versions; nil means in any. It
// returns the session as it is then. fault.NotFound, fault.Invalid, fault.Precondition.
func (s *Service) Edit(ctx context.Context, who tenancy.Principal, id session.ID, versions []int, e session.Edit) (*session.Session, error) {
	action := audit.SessionChanged
	switch {
	case e.Archived != nil && *e.Archived:
		action = audit.SessionArchived
	case e.Archived != nil:
		action = audit.SessionRestored
	}
	var after *session.Session
	err := s.recorded(ctx, who, action, id, func(ctx context.Context, tx ports.Repositories) error {
		return tx.Sessions().Update(ctx, who.Scope(), id, func(v *session.Session) error {
			if err := v.Expect(versions); err != nil {
				return err
			}
			if err := v.Apply(e, s.Now()); err != nil {
				return err
			}
			after = v.Clone()
			after.Version++
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return after, nil
}

// Delete removes a session that is in one of the versions, with all its turns;
// nil means in any. fault.NotFound, for a second time too; fault.Precondition.
func (s *Service) Delete(ctx context.Context, who tenancy.Principal, id session.ID, versions []int) error {
	return s.recorded(ctx, who, audit.SessionDeleted, id, func(ctx context.Context, tx ports.Repositories) error {
		if versions == nil {
			return tx.Sessions().Delete(ctx, who.Scope(), id)
		}
		v, err := tx.Sessions().Get(ctx, who.Scope(), id)
		if err != nil {
			return err
		}
		if err := v.Expect(versions); err != nil {
			return err
		}
		return tx.Sessions().Delete(ctx, who.Scope(), id)
	})
}

// recorded does something to the caller's session, and records it in the same
// transaction.
func (s *Service) recorded(ctx context.Context, who tenancy.Principal, action audit.Action, id session.ID, do func(context.Context, ports.Repositories) error) error {
	entry, err := s.Audit.Entry(ctx, trail.Note{Action: action, Who: who.Scope(), What: "session", Own: id.String()})
	if err != nil {
		return err
	}
	return s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		if err := do(ctx, tx); err != nil {
			return err
		}
		return s.Audit.Append(ctx, tx, entry)
	})
}
