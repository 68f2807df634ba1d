package bunstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/budget"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/price"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

type budgetRow struct {
	bun.BaseModel `bun:"table:budgets,alias:b"`

	OrgID     string    `bun:"org_id,pk"`
	ID        string    `bun:"id,pk"`
	UserID    *string   `bun:"user_id"`
	KeyID     *string   `bun:"key_id"`
	Period    string    `bun:"period"`
	Limit     int64     `bun:"limit_micro"`
	Version   int       `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

// standing is a budget with what was spent and is reserved.
type standing struct {
	budgetRow `bun:",extend"`

	Spent    int64 `bun:"spent,scanonly"`
	Reserved int64 `bun:"reserved,scanonly"`
}

func (r *budgetRow) budget() (*budget.Budget, error) {
	b := &budget.Budget{
		Period: budget.Period(r.Period), Limit: price.Micro(r.Limit), Version: r.Version, Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(),
	}
	for _, err := range []error{
		parsed(&b.Org, &r.OrgID, tenancy.ParseOrgID), parsed(&b.ID, &r.ID, budget.ParseID),
		parsed(&b.User, r.UserID, tenancy.ParseUserID), parsed(&b.Key, r.KeyID, tenancy.ParseKeyID),
	} {
		if err != nil {
			return nil, corrupt("budget", err)
		}
	}
	return b, nil
}

func (r *standing) state() (*budget.State, error) {
	b, err := r.budget()
	if err != nil {
		return nil, err
	}
	return &budget.State{Budget: *b, Spent: price.Micro(r.Spent), Reserved: price.Micro(r.Reserved)}, nil
}

// Budgets keeps what may be spent.
func (r *Repositories) Budgets() ports.Budgets { return budgets{directory{r}} }

type budgets struct{ directory }

// userColumn is null where there is no user.
func userColumn(u tenancy.UserID) *string {
	if u.IsZero() {
		return nil
	}
	text := u.UUID()
	return &text
}

// Create stores a new budget.
func (s budgets) Create(ctx context.Context, in tenancy.Realm, b *budget.Budget) error {
	if err := s.managing(ctx, in); err != nil {
		return err
	}
	if b.Org != in.Org() {
		return fault.New(fault.Forbidden, "A budget belongs to its own organisation.")
	}
	at, org := session.Moment(b.Created), b.Org.UUID()
	row := &budgetRow{
		OrgID: org, ID: b.ID.UUID(), UserID: userColumn(b.User), KeyID: keyColumn(b.Key), Period: string(b.Period), Limit: int64(b.Limit),
		Version: 1, CreatedAt: at, UpdatedAt: at,
	}
	if s.shared() {
		_, err := s.db.NewRaw(Opens+"?, ?, ?, ?, ?, ?, ?)", org, row.ID, row.UserID, row.KeyID, row.Period, row.Limit, at).Exec(ctx)
		return existing(s.failed(ctx, err))
	}
	if err := s.fold(ctx, org); err != nil {
		return err
	}
	if _, err := s.db.NewInsert().Model(row).Returning(nothing).Exec(ctx); err != nil {
		return existing(s.failed(ctx, err))
	}
	since := b.Period.Since(at)
	sum := s.db.NewSelect().Model((*usageRow)(nil)).ColumnExpr("?, ?, ?, coalesce(sum(cost_micro), 0)", org, row.ID, since).
		Where("org_id = ? AND id >= ? AND created_at >= ?", org, usage.NewID(earliest(since), [10]byte{}).UUID(), since)
	if row.UserID != nil {
		sum = sum.Where("user_id = ?", row.UserID)
	}
	if row.KeyID != nil {
		sum = sum.Where("key_id = ?", row.KeyID)
	}
	_, err := s.db.NewRaw("INSERT INTO budget_windows ?", sum).Exec(ctx)
	return s.failed(ctx, err)
}

// earliest is when a record may have been begun that was made since.
func earliest(since time.Time) time.Time {
	if begun := since.Add(-longest); begun.Unix() > 0 {
		return begun
	}
	return time.Unix(0, 0)
}

func existing(err error) error {
	if fault.Is(err, fault.Conflict) {
		return budget.Taken()
	}
	return err
}

// states asks for budgets as they stand at a moment. It is one statement: a request
// that ends meanwhile counts by what was set aside for it or by what it has used.
func (s budgets) states(in tenancy.OrgID, at time.Time) func(*bun.SelectQuery) *bun.SelectQuery {
	since := func(p budget.Period) any { return s.instant(p.Since(at)) }
	until := func(p budget.Period) any { return s.instant(p.Until(at)) }
	const whose = " AND (b.user_id IS NULL OR x.user_id = b.user_id) AND (b.key_id IS NULL OR x.key_id = b.key_id)"
	return func(q *bun.SelectQuery) *bun.SelectQuery {
		begun := bun.SafeQuery("CASE b.period WHEN 'day' THEN ? WHEN 'month' THEN ? ELSE ? END", since(budget.Day), since(budget.Month), since(budget.Total))
		ended := bun.SafeQuery("b.period <> 'total' AND x.created_at >= CASE b.period WHEN 'day' THEN ? ELSE ? END", until(budget.Day), until(budget.Month))
		return q.Where("b.org_id = ?", in.UUID()).ColumnExpr("b.*").
			ColumnExpr("coalesce((SELECT w.spent_micro FROM budget_windows w WHERE w.org_id = b.org_id AND w.budget_id = b.id AND w.since = ?), 0) + "+
				"(SELECT coalesce(sum(x.cost_micro), 0) FROM budget_charges x WHERE x.org_id = b.org_id AND x.created_at >= ? AND NOT (?)"+whose+") AS spent", begun, begun, ended).
			ColumnExpr("(SELECT coalesce(sum(x.amount_micro), 0) FROM budget_holds x WHERE x.org_id = b.org_id AND x.expires_at > ?"+whose+") AS reserved", s.instant(session.Moment(at)))
	}
}

// instant is a time where the database does not see by itself that it is one.
func (s budgets) instant(at time.Time) any {
	if s.shared() {
		return bun.SafeQuery("?::timestamptz", at)
	}
	return at
}

// Budget returns a budget as it stands.
func (s budgets) Budget(ctx context.Context, in tenancy.Realm, id budget.ID, at time.Time) (*budget.State, error) {
	if in.IsZero() {
		return nil, budget.Absent()
	}
	if err := s.inside(ctx, in.Org()); err != nil {
		return nil, err
	}
	row := new(standing)
	err := s.states(in.Org(), at)(s.db.NewSelect().Model(row)).Where("b.id = ?", id.UUID()).Scan(ctx)
	if noRows(err) {
		return nil, budget.Absent()
	}
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	return row.state()
}

// List returns a page of the organisation's budgets.
func (s budgets) List(ctx context.Context, in tenancy.Realm, at time.Time, q page.Query) (page.Of[*budget.State], error) {
	if in.IsZero() {
		return page.Of[*budget.State]{}, nil
	}
	if err := s.inside(ctx, in.Org()); err != nil {
		return page.Of[*budget.State]{}, err
	}
	return list(ctx, s.directory, "id", budget.ParseID, q, s.states(in.Org(), at), (*standing).state)
}

// Bounding returns the budgets that bound what a user spends.
func (s budgets) Bounding(ctx context.Context, in tenancy.Scope, key tenancy.KeyID, at time.Time) ([]budget.State, error) {
	if in.IsZero() {
		return nil, nil
	}
	if err := s.within(ctx, in); err != nil {
		return nil, err
	}
	var rows []standing
	query := s.states(in.Org(), at)(s.db.NewSelect().Model(&rows)).Where("b.user_id IS NULL OR b.user_id = ?", in.User().UUID())
	if key.IsZero() {
		query = query.Where("b.key_id IS NULL")
	} else {
		query = query.Where("b.key_id IS NULL OR b.key_id = ?", key.UUID())
	}
	if err := query.Order("b.id").Scan(ctx); err != nil {
		return nil, s.failed(ctx, err)
	}
	out := make([]budget.State, len(rows))
	for i := range rows {
		state, err := rows[i].state()
		if err != nil {
			return nil, err
		}
		out[i] = *state
	}
	return out, nil
}

// Any tells whether the organisation has a budget.
func (s budgets) Any(ctx context.Context, in tenancy.Realm) (bool, error) {
	if in.IsZero() {
		return false, nil
	}
	if err := s.inside(ctx, in.Org()); err != nil {
		return false, err
	}
	any, err := s.db.NewSelect().Model((*budgetRow)(nil)).Where("org_id = ?", in.Org().UUID()).Exists(ctx)
	return any, s.failed(ctx, err)
}

// Update stores what change makes of a budget's limit.
func (s budgets) Update(ctx context.Context, in tenancy.Realm, id budget.ID, change func(*budget.Budget) error) error {
	if err := s.managing(ctx, in); err != nil {
		return err
	}
	row, err := first[budgetRow](ctx, s.directory, true, budget.Absent(), "org_id = ? AND id = ?", in.Org().UUID(), id.UUID())
	if err != nil {
		return err
	}
	b, err := row.budget()
	if err != nil {
		return err
	}
	if err := change(b); err != nil {
		return err
	}
	row.Limit, row.UpdatedAt, row.Version = int64(b.Limit), session.Moment(b.Updated), row.Version+1
	_, err = s.db.NewUpdate().Model(row).Column("limit_micro", "updated_at", "version").WherePK().Exec(ctx)
	return s.failed(ctx, err)
}

// Delete removes the budget.
func (s budgets) Delete(ctx context.Context, in tenancy.Realm, id budget.ID) error {
	if err := s.managing(ctx, in); err != nil {
		return err
	}
	where, args := "org_id = ? AND id = ?", []any{in.Org().UUID(), id.UUID()}
	if _, err := first[budgetRow](ctx, s.directory, true, budget.Absent(), where, args...); err != nil {
		return err
	}
	_, err := s.db.NewDelete().Model((*budgetRow)(nil)).Where(where, args...).Exec(ctx)
	return s.failed(ctx, err)
}
