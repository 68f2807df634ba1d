// Package conversations lets callers see and delete their stored sessions.
package conversations

import (
	"context"

	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Service reads and deletes the caller's own sessions. It is safe for concurrent use.
type Service struct{ storage ports.Storage }

// New makes a Service on storage.
func New(storage ports.Storage) *Service { return &Service{storage: storage} }

// Get returns one session. fault.NotFound, code session_not_found.
func (s *Service) Get(ctx context.Context, who tenancy.Principal, id session.ID) (*session.Session, error) {
	return s.storage.Sessions().Get(ctx, who.Scope(), id)
}

// List returns one page of the caller's sessions. fault.Invalid for a query that is out of bounds.
func (s *Service) List(ctx context.Context, who tenancy.Principal, q page.Query) (page.Of[*session.Session], error) {
	q, err := q.Normal()
	if err != nil {
		return page.Of[*session.Session]{}, err
	}
	return s.storage.Sessions().List(ctx, who.Scope(), q)
}

// Turns returns one page of a session's turns. fault.NotFound, fault.Invalid.
func (s *Service) Turns(ctx context.Context, who tenancy.Principal, id session.ID, q page.Query) (page.Of[session.Turn], error) {
	q, err := q.Normal()
	if err != nil {
		return page.Of[session.Turn]{}, err
	}
	return s.storage.Sessions().Turns(ctx, who.Scope(), id, q)
}

// Delete removes a session with all its turns. fault.NotFound, for a second time too.
func (s *Service) Delete(ctx context.Context, who tenancy.Principal, id session.ID) error {
	return s.storage.Sessions().Delete(ctx, who.Scope(), id)
}
