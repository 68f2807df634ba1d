// Package reports tells what was consumed, and what was done by whom.
package reports

import (
	"context"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// Service reads what is reported. It is safe for concurrent use.
type Service struct {
	Storage  ports.Storage
	Currency string // of costs
	Now      func() time.Time
}

// Own reports what a caller has consumed in their organisation.
func (s *Service) Own(ctx context.Context, who tenancy.Principal, q usage.Query) (usage.Query, []usage.Row, error) {
	if err := who.May(tenancy.ReadSelf); err != nil {
		return q, nil, err
	}
	q.Users = []tenancy.UserID{who.User()}
	return s.report(q, func(q usage.Query) ([]usage.Row, error) { return s.Storage.Usage().Report(ctx, who.Own(), q) })
}

// Org reports what was consumed in an organisation.
func (s *Service) Org(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, q usage.Query) (usage.Query, []usage.Row, error) {
	in, err := who.Realm(org, tenancy.ReadUsage)
	if err != nil {
		return q, nil, err
	}
	return s.report(q, func(q usage.Query) ([]usage.Row, error) { return s.Storage.Usage().Report(ctx, in, q) })
}

// Platform reports what was consumed in all organisations.
func (s *Service) Platform(ctx context.Context, who tenancy.Principal, q usage.Query) (usage.Query, []usage.Row, error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return q, nil, err
	}
	return s.report(q, func(q usage.Query) ([]usage.Row, error) { return s.Storage.Usage().ReportAll(ctx, q) })
}

func (s *Service) report(q usage.Query, ask func(usage.Query) ([]usage.Row, error)) (usage.Query, []usage.Row, error) {
	q, err := q.Normal(s.Now())
	if err != nil {
		return q, nil, err
	}
	rows, err := ask(q)
	return q, rows, err
}

// Entry is one of the audit log, and who did it.
type Entry struct {
	audit.Sealed
	User tenancy.UserID // zero: nobody of the organisation's, or somebody whose data was erased
	By   *tenancy.Member
}

// Log lists what was recorded in an organisation; by, if not zero, is who did it.
func (s *Service) Log(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, by tenancy.UserID, f audit.Filter, q page.Query) (out page.Of[Entry], err error) {
	in, err := who.Realm(org, tenancy.ReadAudit)
	if err != nil {
		return out, err
	}
	if q, err = q.Normal(); err != nil {
		return out, err
	}
	f.Org = in.Org()
	if !by.IsZero() {
		known, err := s.Storage.Audit().Known(ctx, in, []tenancy.UserID{by}, nil)
		if err != nil || len(known) == 0 {
			return out, err
		}
		f.Actor = known[0].Subject.String()
	}
	found, err := s.Storage.Trail().List(ctx, f, q)
	if err != nil {
		return out, err
	}
	out.More = found.More
	actors, err := s.actors(ctx, in, found.Items)
	for _, e := range found.Items {
		out.Items = append(out.Items, actors[e.Columns.Actor].of(e))
	}
	return out, err
}

// actor is who is meant by a pseudonym.
type actor struct {
	user   tenancy.UserID
	member *tenancy.Member
}

func (a actor) of(e audit.Sealed) Entry { return Entry{Sealed: e, User: a.user, By: a.member} }

// actors looks up who did what is listed, each once.
func (s *Service) actors(ctx context.Context, in tenancy.Realm, entries []audit.Sealed) (map[string]actor, error) {
	var subjects []audit.SubjectID
	seen := make(map[string]actor)
	for _, e := range entries {
		if _, dup := seen[e.Columns.Actor]; dup {
			continue
		}
		seen[e.Columns.Actor] = actor{}
		if id, err := audit.ParseSubjectID(e.Columns.Actor); err == nil {
			subjects = append(subjects, id)
		}
	}
	known, err := s.Storage.Audit().Known(ctx, in, nil, subjects)
	if err != nil {
		return nil, err
	}
	for _, k := range known {
		m, err := s.Storage.Directory().Member(ctx, in, k.User)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		seen[k.Subject.String()] = actor{k.User, m}
	}
	return seen, nil
}
