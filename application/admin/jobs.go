package admin

import (
	"context"
	"iter"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/job"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// Data is where users' data is exported and erased.
type Data interface {
	// Wake has jobs looked for.
	Wake()
	// Pieces is all that is stored of a user, in pieces.
	Pieces(ctx context.Context, in tenancy.Scope) iter.Seq2[[]byte, error]
	// Pseudonym is one that nobody has.
	Pseudonym() tenancy.UserID
}

// ExportUser has what is stored of a user made ready to be taken along.
func (s *Service) ExportUser(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, user tenancy.UserID, o Once) (*job.Job, error) {
	return s.ask(ctx, who, org, user, job.ExportUser, audit.ExportAsked, o)
}

// EraseUser has all that is stored of a user removed, and the user with it.
// fault.Forbidden: they are more than the caller, or the caller, or suspended by the
// platform, which the caller does not administer. fault.Conflict: they
// administer the platform.
func (s *Service) EraseUser(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, user tenancy.UserID, o Once) (*job.Job, error) {
	return s.ask(ctx, who, org, user, job.EraseUser, audit.ErasureAsked, o)
}

func (s *Service) ask(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, user tenancy.UserID, kind job.Kind, what audit.Action, o Once) (*job.Job, error) {
	in, err := who.Realm(org, tenancy.WriteData)
	if err != nil {
		return nil, err
	}
	there, err := s.traces(ctx, in, user)
	if err != nil {
		return nil, err
	}
	j := s.queued(who, org, kind)
	j.User = user
	n := note(who, what, "", nil)
	if there { // nobody gets a pseudonym for not being there
		n = on(who, what, in, user, map[string]string{"job": j.ID.String()})
	}
	return s.enqueue(ctx, who, j, n, o, func(ctx context.Context, tx ports.Repositories) error {
		if !there {
			return tenancy.NoMember()
		}
		known, err := tx.Directory().Standing(ctx, org, user)
		if err != nil {
			return err
		}
		if kind == job.EraseUser {
			return erasable(who, known)
		}
		return nil
	})
}

// traces tells whether a user is a member of an organisation, or has left something
// behind in it. Whether they are anywhere else is not the organisation's to know.
func (s *Service) traces(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (bool, error) {
	known, err := s.Storage.Directory().Standing(ctx, in.Org(), user)
	if err != nil || known.Member != nil {
		return err == nil, err
	}
	talks, err := s.Storage.Sessions().List(ctx, in.Of(user), session.Filter{}, page.Query{Limit: 1})
	if err != nil || len(talks.Items) > 0 {
		return err == nil, err
	}
	used, err := s.Storage.Usage().Records(ctx, in.Of(user), usage.ID{}, 1)
	if err != nil || len(used) > 0 {
		return err == nil, err
	}
	named, err := s.Storage.Audit().Known(ctx, in, []tenancy.UserID{user}, nil)
	return len(named) > 0, err
}

// queued makes a job about nobody yet.
func (s *Service) queued(who tenancy.Principal, org tenancy.OrgID, kind job.Kind) *job.Job {
	at := session.Moment(s.Now())
	var seed [10]byte
	s.Random(seed[:])
	other := s.Data.Pseudonym()
	return &job.Job{
		ID: job.NewID(at, seed), Kind: kind, Org: org, User: other, By: who.User(), Other: other,
		State: job.Queued, Version: 1, Created: at, Updated: at,
	}
}

// enqueue stores a job, with its record, where allow does not refuse it.
func (s *Service) enqueue(ctx context.Context, who tenancy.Principal, j *job.Job, n trail.Note, o Once, allow func(context.Context, ports.Repositories) error) (*job.Job, error) {
	in := tenancy.RealmOf(j.Org)
	made, err := s.once(ctx, who, n, o, func(ctx context.Context, tx ports.Repositories) (string, error) {
		if err := allow(ctx, tx); err != nil {
			return "", err
		}
		return j.ID.String(), tx.Jobs().Create(ctx, in, j)
	})
	if err != nil {
		return nil, err
	}
	s.Data.Wake()
	if made == "" {
		return j, nil
	}
	id, err := job.ParseID(made)
	if err != nil {
		return nil, fault.Internalf("an idempotency result names no job: %w", err)
	}
	return s.Storage.Jobs().Job(ctx, in, id)
}

// erasable refuses to erase who must not go.
func erasable(who tenancy.Principal, known tenancy.Standing) error {
	if known.User != nil && known.User.ID == who.User() {
		return fault.New(fault.Forbidden, "You cannot erase yourself: ask another administrator.").WithCode("insufficient_permissions")
	}
	if known.User != nil && known.User.Platform != "" {
		return tenancy.Administers()
	}
	if known.User != nil && known.User.Status == tenancy.Suspended && !who.Can(tenancy.WritePlatform) { // it would be forgotten
		return fault.New(fault.Forbidden, "They are suspended on the whole platform.").WithCode("insufficient_permissions").WithHint("Ask whoever runs this server to erase them.")
	}
	if known.Member != nil {
		return above(who, known.Member)
	}
	return nil
}

// Jobs lists an organisation's jobs.
func (s *Service) Jobs(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, q page.Query) (page.Of[*job.Job], error) {
	in, err := who.Realm(org, tenancy.WriteData)
	if err != nil {
		return page.Of[*job.Job]{}, err
	}
	return paged(q, func(q page.Query) (page.Of[*job.Job], error) { return s.Storage.Jobs().List(ctx, in, q) })
}

// Job gives one of an organisation's jobs.
func (s *Service) Job(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id job.ID) (*job.Job, error) {
	in, err := who.Realm(org, tenancy.WriteData)
	if err != nil {
		return nil, err
	}
	return s.Storage.Jobs().Job(ctx, in, id)
}

// Result gives what a job has made, in pieces; that it was taken is recorded. life is
// how long taking it may last.
func (s *Service) Result(ctx, life context.Context, who tenancy.Principal, org tenancy.OrgID, id job.ID) (iter.Seq2[[]byte, error], error) {
	j, err := s.Job(ctx, who, org, id)
	if err == nil {
		err = j.Result(s.Now())
	}
	if err != nil {
		return nil, err
	}
	in := tenancy.RealmOf(j.Org)
	if err := s.Audit.Record(ctx, on(who, audit.DataExported, in, j.User, map[string]string{"job": id.String()})); err != nil {
		return nil, err
	}
	return s.Data.Pieces(life, in.Of(j.User)), nil
}
