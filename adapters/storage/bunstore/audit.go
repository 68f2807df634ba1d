package bunstore

import (
	"context"

	"github.com/uptrace/bun"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

type subjectRow struct {
	bun.BaseModel `bun:"table:audit_subjects,alias:s"`

	OrgID  string `bun:"org_id,pk"`
	UserID string `bun:"user_id,pk"`
	ID     string `bun:"id"`
	Salt   []byte `bun:"salt"`
}

type valueRow struct {
	bun.BaseModel `bun:"table:audit_values,alias:v"`

	OrgID      string `bun:"org_id,pk"`
	SubjectID  string `bun:"subject_id,pk"`
	Name       string `bun:"name,pk"`
	Commitment string `bun:"commitment,pk"`
	Clear      string `bun:"clear"`
}

// Gathering makes repositories whose audit entries are handed to into.
func (r *Repositories) Gathering(into func(...audit.Entry)) *Repositories {
	c := *r
	c.entries = into
	return &c
}

type audits struct{ *Repositories }

// Append hands the entries to the batch, which seals them.
func (a audits) Append(ctx context.Context, entries ...audit.Entry) error {
	if err := Failed(ctx, ctx.Err()); err != nil {
		return err
	}
	if a.entries == nil {
		return fault.Internalf("audit entries are appended where nothing is committed")
	}
	for _, e := range entries {
		if err := a.remember(ctx, e); err != nil {
			return err
		}
	}
	a.entries(entries...)
	return nil
}

// remember stores an entry's personal values, where the subject has not been
// erased meanwhile.
func (a audits) remember(ctx context.Context, e audit.Entry) error {
	values := e.Values()
	if len(values) == 0 {
		return nil
	}
	if a.enter != nil {
		if err := a.enter(ctx, e.Org()); err != nil {
			return a.failed(ctx, err)
		}
	}
	// Whoever erases holds the subject's row until it is gone for all.
	lock := ""
	if a.locks {
		lock = " FOR KEY SHARE"
	}
	for _, v := range values {
		_, err := a.db.NewRaw("INSERT INTO audit_values (org_id, subject_id, name, commitment, clear) "+
			"SELECT org_id, id, ?, ?, ? FROM audit_subjects WHERE org_id = ? AND id = ?"+lock+" ON CONFLICT DO NOTHING",
			v.Name, v.Commitment, storable(v.Clear), e.Org().UUID(), v.Subject.UUID()).Exec(ctx)
		if err != nil {
			return a.failed(ctx, err)
		}
	}
	return nil
}

// Subject returns the pseudonym of the scope's user.
func (a audits) Subject(ctx context.Context, in tenancy.Scope, fresh audit.Subject) (audit.Subject, error) {
	if err := a.writing(ctx, in); err != nil {
		return audit.Subject{}, err
	}
	row := &subjectRow{OrgID: in.Org().UUID(), UserID: in.User().UUID(), ID: fresh.ID.UUID(), Salt: fresh.Salt[:]}
	if _, err := a.db.NewInsert().Model(row).On("CONFLICT DO NOTHING").Returning(nothing).Exec(ctx); err != nil {
		return audit.Subject{}, a.failed(ctx, err)
	}
	s, err := a.subject(ctx, in)
	if err == nil && s.ID.IsZero() {
		err = fault.Internalf("an audit subject that was stored is not there")
	}
	return s, err
}

// subject finds the scope's user; the zero Subject: there is none.
func (a audits) subject(ctx context.Context, in tenancy.Scope) (s audit.Subject, err error) {
	var row subjectRow
	err = a.db.NewSelect().Model(&row).Where("org_id = ? AND user_id = ?", in.Org().UUID(), in.User().UUID()).Scan(ctx)
	if noRows(err) {
		return s, nil
	}
	if err != nil {
		return s, a.failed(ctx, err)
	}
	if s.ID, err = audit.ParseSubjectID(row.ID); err != nil || len(row.Salt) != len(s.Salt) {
		return s, corrupt("audit subject", err)
	}
	copy(s.Salt[:], row.Salt)
	return s, nil
}

// Known returns those pseudonyms that are one of these users' or one of these.
func (a audits) Known(ctx context.Context, in tenancy.Realm, users []tenancy.UserID, subjects []audit.SubjectID) ([]audit.Known, error) {
	if in.IsZero() || len(users)+len(subjects) == 0 {
		return nil, Failed(ctx, ctx.Err())
	}
	if a.enter != nil {
		if err := a.enter(ctx, in.Org()); err != nil {
			return nil, a.failed(ctx, err)
		}
	}
	var rows []subjectRow
	err := a.db.NewSelect().Model(&rows).Where("org_id = ?", in.Org().UUID()).WhereGroup(" AND ", func(s *bun.SelectQuery) *bun.SelectQuery {
		if len(users) > 0 {
			s = s.WhereOr("user_id IN (?)", bun.In(uuids(users)))
		}
		if len(subjects) > 0 {
			s = s.WhereOr("id IN (?)", bun.In(uuids(subjects)))
		}
		return s
	}).Scan(ctx)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := make([]audit.Known, len(rows))
	for i, r := range rows {
		if out[i].Subject, err = audit.ParseSubjectID(r.ID); err != nil {
			return nil, corrupt("audit subject", err)
		}
		if out[i].User, err = tenancy.ParseUserID(r.UserID); err != nil {
			return nil, corrupt("audit subject", err)
		}
	}
	return out, nil
}

// Values returns the personal values of the scope's user.
func (a audits) Values(ctx context.Context, in tenancy.Scope) ([]audit.Value, error) {
	if in.IsZero() {
		return nil, Failed(ctx, ctx.Err())
	}
	if err := a.within(ctx, in); err != nil {
		return nil, err
	}
	s, err := a.subject(ctx, in)
	if err != nil || s.ID.IsZero() {
		return nil, err
	}
	var rows []valueRow
	if err := a.db.NewSelect().Model(&rows).Where("org_id = ? AND subject_id = ?", in.Org().UUID(), s.ID.UUID()).Order("name", "commitment").Scan(ctx); err != nil {
		return nil, a.failed(ctx, err)
	}
	out := make([]audit.Value, len(rows))
	for i, r := range rows {
		out[i] = audit.Value{Subject: s.ID, Name: r.Name, Commitment: r.Commitment, Clear: r.Clear}
	}
	return out, nil
}

// Forget removes the pseudonym of the scope's user and all values.
func (a audits) Forget(ctx context.Context, in tenancy.Scope) (audit.SubjectID, error) {
	var none audit.SubjectID
	if err := a.writing(ctx, in); err != nil {
		return none, err
	}
	s, err := a.subject(ctx, in)
	if err != nil || s.ID.IsZero() {
		return none, err
	}
	if _, err := a.db.NewDelete().Model((*subjectRow)(nil)).Where("org_id = ? AND user_id = ?", in.Org().UUID(), in.User().UUID()).Exec(ctx); err != nil {
		return none, a.failed(ctx, err)
	}
	_, err = a.db.NewDelete().Model((*valueRow)(nil)).Where("org_id = ? AND subject_id = ?", in.Org().UUID(), s.ID.UUID()).Exec(ctx)
	return s.ID, a.failed(ctx, err)
}
