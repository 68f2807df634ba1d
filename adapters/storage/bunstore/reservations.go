package bunstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/budget"
	"agentapi/domain/price"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// chargeRow is what a usage record has cost, before a window has counted it. The
// database writes it where usage is booked.
type chargeRow struct {
	bun.BaseModel `bun:"table:budget_charges,alias:c"`

	OrgID     string    `bun:"org_id,pk"`
	ID        string    `bun:"id,pk"`
	UserID    string    `bun:"user_id"`
	KeyID     *string   `bun:"key_id"`
	Cost      int64     `bun:"cost_micro"`
	CreatedAt time.Time `bun:"created_at"`
}

type windowRow struct {
	bun.BaseModel `bun:"table:budget_windows,alias:w"`

	OrgID    string    `bun:"org_id,pk"`
	BudgetID string    `bun:"budget_id,pk"`
	Since    time.Time `bun:"since,pk"`
	Spent    int64     `bun:"spent_micro"`
}

type holdRow struct {
	bun.BaseModel `bun:"table:budget_holds,alias:h"`

	OrgID     string    `bun:"org_id,pk"`
	ID        string    `bun:"id,pk"`
	UserID    string    `bun:"user_id"`
	KeyID     *string   `bun:"key_id"`
	Amount    int64     `bun:"amount_micro"`
	ExpiresAt time.Time `bun:"expires_at"`
}

// How the statements begin that make a budget, that ask whether there is room, and that
// give back what was set aside.
const (
	Opens    = "SELECT open_budget("
	Reserves = "SELECT reserve_budgets("
	Releases = "DELETE FROM budget_holds WHERE org_id = "
)

// Reserve sets money aside. Where others write to the database, it is one statement,
// which waits with those of other requests and fails its transaction if there is no
// room.
func (s budgets) Reserve(ctx context.Context, in tenancy.Scope, r budget.Reservation) error {
	if err := s.writing(ctx, in); err != nil {
		return err
	}
	row := &holdRow{
		OrgID: in.Org().UUID(), ID: r.ID.UUID(), UserID: in.User().UUID(), KeyID: keyColumn(r.Key), Amount: int64(r.Amount), ExpiresAt: session.Moment(r.Expires),
	}
	if s.shared() {
		_, err := s.db.NewRaw(Reserves+"?"+reserved+"(?, ?, ?, ?, ?, ?)"+asReserved, row.OrgID, row.ID, row.UserID, row.KeyID, row.Amount, row.ExpiresAt, session.Moment(r.At)).Exec(ctx)
		return s.failed(ctx, err)
	}
	if err := s.fold(ctx, row.OrgID); err != nil {
		return err
	}
	bounding, err := s.Bounding(ctx, in, r.Key, r.At)
	if err != nil {
		return err
	}
	for i := range bounding {
		if bounding[i].Left() < r.Amount {
			return budget.None()
		}
	}
	_, err = s.db.NewInsert().Model(row).Returning(nothing).Exec(ctx)
	return s.failed(ctx, err)
}

// fold counts charges in the windows, where no other server writes to the database.
func (s budgets) fold(ctx context.Context, org string) error {
	var (
		charges []chargeRow
		rows    []budgetRow
	)
	if err := s.db.NewSelect().Model(&charges).Where("org_id = ?", org).Scan(ctx); err != nil || len(charges) == 0 {
		return s.failed(ctx, err)
	}
	if err := s.db.NewSelect().Model(&rows).Where("org_id = ?", org).Scan(ctx); err != nil {
		return s.failed(ctx, err)
	}
	type window struct {
		id    string
		since time.Time
	}
	sums := make(map[window]price.Micro)
	for _, b := range rows {
		for _, c := range charges {
			if (b.UserID == nil || *b.UserID == c.UserID) && (b.KeyID == nil || c.KeyID != nil && *b.KeyID == *c.KeyID) {
				w := window{b.ID, budget.Period(b.Period).Since(c.CreatedAt)}
				sums[w] = sums[w].Plus(price.Micro(c.Cost))
			}
		}
	}
	for w, sum := range sums {
		row := &windowRow{OrgID: org, BudgetID: w.id, Since: w.since, Spent: int64(sum)}
		_, err := s.db.NewInsert().Model(row).On("CONFLICT (org_id, budget_id, since) DO UPDATE").
			Set("spent_micro = w.spent_micro + EXCLUDED.spent_micro").Returning(nothing).Exec(ctx)
		if err != nil {
			return s.failed(ctx, err)
		}
	}
	_, err := s.db.NewDelete().Model((*chargeRow)(nil)).Where("org_id = ?", org).Exec(ctx)
	return s.failed(ctx, err)
}

// Release gives back what was set aside.
func (s budgets) Release(ctx context.Context, in tenancy.Scope, id budget.ReservationID) error {
	if err := s.writing(ctx, in); err != nil {
		return err
	}
	_, err := s.db.NewRaw(Releases+"?"+held+"?)", in.Org().UUID(), id.UUID()).Exec(ctx)
	return s.failed(ctx, err)
}

// Prune forgets reservations that have expired.
func (s budgets) Prune(ctx context.Context, before time.Time, most int) (n int, err error) {
	if s.shared() {
		err := s.db.NewRaw("SELECT drop_holds(?, ?)", session.Moment(before), most).Scan(ctx, &n)
		return n, s.failed(ctx, err)
	}
	result, err := s.db.NewDelete().Model((*holdRow)(nil)).
		Where("(org_id, id) IN (SELECT org_id, id FROM budget_holds WHERE expires_at <= ? LIMIT ?)", session.Moment(before), most).Exec(ctx)
	if err != nil {
		return 0, s.failed(ctx, err)
	}
	gone, err := result.RowsAffected()
	return int(gone), s.failed(ctx, err)
}

// unfund removes the budgets of a user and their keys, and what is set aside for them;
// what they have spent is the pseudonym's.
func (r *Repositories) unfund(ctx context.Context, org, user, pseudonym string, total *int) error {
	for _, q := range []interface {
		Exec(ctx context.Context, dest ...any) (sql.Result, error)
	}{
		r.db.NewUpdate().Model((*chargeRow)(nil)).Set("user_id = ?, key_id = NULL", pseudonym).Where("org_id = ? AND user_id = ?", org, user),
		r.db.NewDelete().Model((*holdRow)(nil)).Where("org_id = ? AND user_id = ?", org, user),
		r.db.NewDelete().Model((*budgetRow)(nil)).
			Where("org_id = ? AND (user_id = ? OR key_id IN (SELECT k.id FROM api_keys k WHERE k.org_id = ? AND k.user_id = ?))", org, user, org, user),
	} {
		result, err := q.Exec(ctx)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		*total += int(n)
	}
	return nil
}
