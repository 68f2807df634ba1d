package bunstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/fault"
	work "agentapi/domain/job"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

type jobRow struct {
	bun.BaseModel `bun:"table:jobs,alias:j"`

	OrgID      string     `bun:"org_id,pk"`
	ID         string     `bun:"id,pk"`
	Kind       string     `bun:"kind"`
	UserID     string     `bun:"user_id"`
	AskedBy    string     `bun:"asked_by"`
	OtherID    string     `bun:"other_id"`
	State      string     `bun:"state"`
	Rows       int        `bun:"rows_done"`
	Code       string     `bun:"code"`
	Message    string     `bun:"message"`
	Tries      int        `bun:"tries"`
	Holder     string     `bun:"holder"`
	Until      *time.Time `bun:"until"`
	FinishedAt *time.Time `bun:"finished_at"`
	Version    int        `bun:"version"`
	CreatedAt  time.Time  `bun:"created_at"`
	UpdatedAt  time.Time  `bun:"updated_at"`
}

func rowOfJob(j *work.Job) *jobRow {
	return &jobRow{
		OrgID: j.Org.UUID(), ID: j.ID.UUID(), Kind: string(j.Kind), UserID: j.User.UUID(), AskedBy: j.By.UUID(), OtherID: j.Other.UUID(),
		State: string(j.State), Rows: j.Rows, Code: j.Code, Message: storable(j.Message), Tries: j.Tries, Holder: j.Holder,
		Until: when(j.Until), FinishedAt: when(j.Finished), Version: j.Version, CreatedAt: session.Moment(j.Created), UpdatedAt: session.Moment(j.Updated),
	}
}

// given is the zero time for null.
func given(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func (r *jobRow) job() (*work.Job, error) {
	j := &work.Job{
		Kind: work.Kind(r.Kind), State: work.State(r.State), Rows: r.Rows, Code: r.Code, Message: r.Message, Tries: r.Tries, Holder: r.Holder,
		Until: given(r.Until), Finished: given(r.FinishedAt), Version: r.Version, Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(),
	}
	for _, err := range []error{
		parsed(&j.Org, &r.OrgID, tenancy.ParseOrgID), parsed(&j.ID, &r.ID, work.ParseID), parsed(&j.User, &r.UserID, tenancy.ParseUserID),
		parsed(&j.By, &r.AskedBy, tenancy.ParseUserID), parsed(&j.Other, &r.OtherID, tenancy.ParseUserID),
	} {
		if err != nil {
			return nil, corrupt("job", err)
		}
	}
	return j, nil
}

// Jobs is what is done in the background.
func (r *Repositories) Jobs() ports.Jobs { return jobs{directory{r}} }

type jobs struct{ directory }

// Create stores a new job.
func (s jobs) Create(ctx context.Context, in tenancy.Realm, j *work.Job) error {
	if err := s.managing(ctx, in); err != nil {
		return err
	}
	if j.Org != in.Org() {
		return fault.New(fault.Forbidden, "A job belongs to its own organisation.")
	}
	row := rowOfJob(j)
	row.Version = 1
	_, err := s.db.NewInsert().Model(row).Returning(nothing).Exec(ctx)
	return s.failed(ctx, err)
}

// Job returns a job of the organisation.
func (s jobs) Job(ctx context.Context, in tenancy.Realm, id work.ID) (*work.Job, error) {
	if in.IsZero() {
		return nil, work.None()
	}
	if err := s.inside(ctx, in.Org()); err != nil {
		return nil, err
	}
	row, err := first[jobRow](ctx, s.directory, true, work.None(), "org_id = ? AND id = ?", in.Org().UUID(), id.UUID())
	if err != nil {
		return nil, err
	}
	return row.job()
}

// List returns a page of the organisation's jobs.
func (s jobs) List(ctx context.Context, in tenancy.Realm, q page.Query) (page.Of[*work.Job], error) {
	if in.IsZero() {
		return page.Of[*work.Job]{}, nil
	}
	if err := s.inside(ctx, in.Org()); err != nil {
		return page.Of[*work.Job]{}, err
	}
	return list(ctx, s.directory, "id", work.ParseID, q, func(s *bun.SelectQuery) *bun.SelectQuery {
		return s.Where("org_id = ?", in.Org().UUID())
	}, (*jobRow).job)
}

// Update stores what change makes of a job.
func (s jobs) Update(ctx context.Context, in tenancy.Realm, id work.ID, change func(*work.Job) error) error {
	if err := s.managing(ctx, in); err != nil {
		return err
	}
	old, err := s.Job(ctx, in, id)
	if err != nil {
		return err
	}
	j := *old
	if err := change(&j); err != nil {
		return err
	}
	j.ID, j.Org, j.Version = old.ID, old.Org, old.Version+1
	_, err = s.db.NewUpdate().Model(rowOfJob(&j)).ExcludeColumn("kind", "asked_by", "other_id", "created_at").WherePK().Exec(ctx)
	return s.failed(ctx, err)
}

// Free returns jobs that a server may begin.
func (s jobs) Free(ctx context.Context, at time.Time, most int) ([]work.Ref, error) {
	var rows []jobRow
	query := s.db.NewSelect().Model(&rows).Column("org_id", "id")
	if s.shared() {
		query = query.ModelTableExpr("open_jobs(?, ?) AS j", session.Moment(at), most)
	} else {
		query = query.Where("state IN ('queued', 'running') AND (state = 'queued' OR until <= ?)", session.Moment(at)).Order("id").Limit(int64(most))
	}
	if err := query.Scan(ctx); err != nil {
		return nil, s.failed(ctx, err)
	}
	out := make([]work.Ref, len(rows))
	for i, r := range rows {
		if err := parsed(&out[i].Org, &r.OrgID, tenancy.ParseOrgID); err != nil {
			return nil, corrupt("job", err)
		}
		if err := parsed(&out[i].ID, &r.ID, work.ParseID); err != nil {
			return nil, corrupt("job", err)
		}
	}
	return out, nil
}

// Prune removes jobs that ended long ago.
func (s jobs) Prune(ctx context.Context, before time.Time, most int) (n int, err error) {
	if s.shared() {
		return n, s.failed(ctx, s.db.NewRaw("SELECT drop_jobs(?, ?)", session.Moment(before), most).Scan(ctx, &n))
	}
	old := s.db.NewSelect().Model((*jobRow)(nil)).Column("org_id", "id").Where("finished_at < ?", session.Moment(before)).Limit(int64(most))
	result, err := s.db.NewDelete().Model((*jobRow)(nil)).Where("(org_id, id) IN (?)", old).Exec(ctx)
	if err != nil {
		return 0, s.failed(ctx, err)
	}
	gone, err := result.RowsAffected()
	return int(gone), s.failed(ctx, err)
}

// Jobs is what is done in the background.
func (o *Outer) Jobs() ports.Jobs { return outerJobs{o} }

type outerJobs struct{ o *Outer }

func (s outerJobs) write(ctx context.Context, do func(context.Context, ports.Jobs) error) error {
	return s.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return do(ctx, tx.Jobs()) })
}

func (s outerJobs) Create(ctx context.Context, in tenancy.Realm, j *work.Job) error {
	return s.write(ctx, func(ctx context.Context, to ports.Jobs) error { return to.Create(ctx, in, j) })
}

func (s outerJobs) Job(ctx context.Context, in tenancy.Realm, id work.ID) (*work.Job, error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) (*work.Job, error) { return r.Jobs().Job(ctx, in, id) })
}

func (s outerJobs) List(ctx context.Context, in tenancy.Realm, q page.Query) (page.Of[*work.Job], error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) (page.Of[*work.Job], error) {
		return r.Jobs().List(ctx, in, q)
	})
}

func (s outerJobs) Update(ctx context.Context, in tenancy.Realm, id work.ID, change func(*work.Job) error) error {
	return s.write(ctx, func(ctx context.Context, to ports.Jobs) error { return to.Update(ctx, in, id, change) })
}

func (s outerJobs) Free(ctx context.Context, at time.Time, most int) ([]work.Ref, error) {
	return read(ctx, s.o, func(ctx context.Context, r *Repositories) ([]work.Ref, error) { return r.Jobs().Free(ctx, at, most) })
}

func (s outerJobs) Prune(ctx context.Context, before time.Time, most int) (n int, err error) {
	err = s.write(ctx, func(ctx context.Context, to ports.Jobs) (err error) {
		n, err = to.Prune(ctx, before, most)
		return err
	})
	return n, err
}
