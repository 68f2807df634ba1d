package operations

import (
	"context"
	"time"

	"agentapi/application/completion"
	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// endWithin is how long a request that is ended is waited for.
const endWithin = 3 * time.Second

// Sessions lists the sessions of all users of an organisation, by id, which is by
// creation.
func (s *Service) Sessions(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, f session.Filter, q page.Query) (page.Of[*session.Session], error) {
	var none page.Of[*session.Session]
	in, err := who.Realm(org, tenancy.ReadSessions)
	if err != nil {
		return none, err
	}
	if err := f.Check(); err != nil {
		return none, err
	}
	if q, err = q.Normal(); err != nil {
		return none, err
	}
	return s.Storage.Sessions().ListAll(ctx, in, f, q)
}

// Session gives a session of whichever user of an organisation. fault.NotFound.
func (s *Service) Session(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id session.ID) (*session.Session, error) {
	in, err := who.Realm(org, tenancy.ReadSessions)
	if err != nil {
		return nil, err
	}
	return s.Storage.Sessions().Find(ctx, in, id)
}

// Remove ends what runs in a session on this instance, and removes it. A turn that
// another instance has running cannot be stored any more. fault.NotFound,
// fault.Precondition.
func (s *Service) Remove(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id session.ID, versions []int) error {
	in, err := who.Realm(org, tenancy.WriteSessions)
	if err != nil {
		return err
	}
	found, err := s.Storage.Sessions().Find(ctx, in, id)
	if err == nil {
		err = found.Expect(versions)
	}
	if err != nil {
		return err
	}
	owner := in.Of(found.User)
	entry, err := s.Audit.Entry(ctx, trail.Note{Who: who.Scope(), Action: audit.SessionDeleted, About: owner, What: "session", Own: id.String()})
	if err != nil {
		return err
	}
	s.end(ctx, func(r completion.Running) bool { return r.Session == id && r.Org == in.Org() })
	return s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Sessions().Delete(ctx, owner, id); err != nil {
			return err
		}
		return s.Audit.Append(ctx, tx, entry)
	})
}

// end ends running requests, and waits a while until they have ended.
func (s *Service) end(ctx context.Context, chosen func(completion.Running) bool) []completion.Running {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	return s.Completion.End(ctx, chosen)
}

// Running lists what runs now on this instance, by request id.
func (s *Service) Running(who tenancy.Principal, q page.Query) (page.Of[completion.Running], error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return page.Of[completion.Running]{}, err
	}
	return cut(s.Completion.Running(), q, func(r completion.Running) string { return r.Request })
}

// End ends a request that runs on this instance. Its client is told so. fault.NotFound:
// it does not run here, or not any more. fault.Conflict: its answer is complete.
func (s *Service) End(ctx context.Context, who tenancy.Principal, request string) error {
	if err := who.May(tenancy.WritePlatform); err != nil {
		return err
	}
	for _, r := range s.Completion.Running() {
		if r.Request != request {
			continue
		}
		if r.Phase == completion.Storing {
			return fault.New(fault.Conflict, "The answer is complete and is being stored.").WithCode("request_complete")
		}
		err := s.Audit.Record(ctx, trail.Note{
			Who: who.Scope(), Action: audit.RequestEnded, About: tenancy.RealmOf(r.Org).Of(r.User),
			Details: map[string]string{"request": r.Request, "agent": string(r.Agent), "model": r.Served},
		})
		if err != nil {
			return err
		}
		s.end(ctx, func(r completion.Running) bool { return r.Request == request })
		return nil
	}
	return fault.NotFoundf("request_not_found", "No such request runs on this instance.")
}
