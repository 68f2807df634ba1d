package bunstore

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

type idempotencyRow struct {
	bun.BaseModel `bun:"table:idempotency,alias:i"`

	OrgID       string     `bun:"org_id,pk"`
	UserID      string     `bun:"user_id,pk"`
	Key         string     `bun:"key,pk"`
	Body        string     `bun:"body"`
	Owner       string     `bun:"owner"`
	ClaimedAt   time.Time  `bun:"claimed_at"`
	LapsesAt    time.Time  `bun:"lapses_at"`
	Done        bool       `bun:"done"`
	Result      *string    `bun:"result"`
	CompletedAt *time.Time `bun:"completed_at"`
}

func rowOfClaim(in tenancy.Scope, c idempotency.Claim) *idempotencyRow {
	return &idempotencyRow{
		OrgID: in.Org().UUID(), UserID: in.User().UUID(), Key: hex.EncodeToString(c.Key[:]), Body: hex.EncodeToString(c.Body[:]),
		Owner: c.Owner, ClaimedAt: session.Moment(c.At), LapsesAt: session.Moment(c.Until),
	}
}

func (r *idempotencyRow) entry(key idempotency.Key) (*idempotency.Entry, error) {
	e := &idempotency.Entry{Done: r.Done}
	e.Key, e.Owner, e.At, e.Until = key, r.Owner, r.ClaimedAt.UTC(), r.LapsesAt.UTC()
	if n, err := hex.Decode(e.Body[:], []byte(r.Body)); err != nil || n != len(e.Body) {
		return nil, corrupt("idempotency key", err)
	}
	if r.Done {
		if r.Result == nil {
			return nil, fault.Internalf("a stored idempotency key is done, but has no result")
		}
		var err error
		if e.Result, err = idempotency.Decode([]byte(*r.Result)); err != nil {
			return nil, corrupt("idempotency result", err)
		}
	}
	return e, nil
}

type idempotencies struct{ *Repositories }

// Claim reserves the key, or returns what an earlier request left.
func (c idempotencies) Claim(ctx context.Context, in tenancy.Scope, claim idempotency.Claim) (none idempotency.Outcome, err error) {
	if err := c.writing(ctx, in); err != nil {
		return none, err
	}
	row := rowOfClaim(in, claim)
	// Whoever inserts first has it. Another waits only briefly for that to be committed:
	// two transactions could wait for each other's keys.
	c.hurrying(5 * time.Millisecond)
	result, err := c.db.NewInsert().Model(row).On("CONFLICT DO NOTHING").Returning(nothing).Exec(ctx)
	if c.miss(err) {
		return none, changing("A request with this Idempotency-Key has just begun. Retry when it has ended.")
	}
	if err != nil {
		return none, c.failed(ctx, err)
	}
	c.hurrying(0)
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return idempotency.Outcome{Claimed: true}, c.failed(ctx, err)
	}
	entry, err := c.earlier(ctx, row, claim.Key)
	if err != nil {
		return none, err
	}
	out, err := idempotency.Meet(entry, claim)
	if err != nil || !out.Claimed {
		return out, err
	}
	result, err = c.db.NewUpdate().Model(row).WherePK().
		Where("owner = ? AND claimed_at = ? AND done = ?", entry.Owner, session.Moment(entry.At), entry.Done).Exec(ctx)
	if err != nil {
		return none, c.failed(ctx, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return out, c.failed(ctx, err)
	}
	return none, changing("Another request with this Idempotency-Key has just begun. Retry when it has ended.")
}

// changing says that a key is another's at this moment.
func changing(says string) error {
	return fault.New(fault.Conflict, "%s", says).WithCode("idempotency_in_progress").WithRetryAfter(time.Second)
}

// earlier gives what is stored under the key of row. Others may change it meanwhile.
func (c idempotencies) earlier(ctx context.Context, row *idempotencyRow, key idempotency.Key) (*idempotency.Entry, error) {
	var old idempotencyRow
	query := c.db.NewSelect().Model(&old).Where("org_id = ? AND user_id = ? AND key = ?", row.OrgID, row.UserID, row.Key)
	if err := query.Scan(ctx); noRows(err) { // it was given back just now
		return nil, changing("A request with this Idempotency-Key has just ended. Send this one again.")
	} else if err != nil {
		return nil, c.failed(ctx, err)
	}
	entry, err := old.entry(key)
	if err != nil || entry.Done || !c.shared() {
		return entry, err
	}
	// A claim whose server is known to be dead has lapsed, whatever its time.
	var dead int
	err = c.db.NewRaw("SELECT count(*) FROM instances WHERE id = ? AND until < clock_timestamp()", entry.Owner).Scan(ctx, &dead)
	if dead > 0 {
		entry.Until = time.Time{}
	}
	return entry, c.failed(ctx, err)
}

// mine bounds a statement to the running row that claim made.
const mine = "org_id = ? AND user_id = ? AND key = ? AND owner = ? AND claimed_at = ? AND NOT done"

func mineArgs(r *idempotencyRow) []any {
	return []any{r.OrgID, r.UserID, r.Key, r.Owner, r.ClaimedAt}
}

// Complete stores the result under the claimed key.
func (c idempotencies) Complete(ctx context.Context, in tenancy.Scope, claim idempotency.Claim, r idempotency.Result) error {
	if err := c.writing(ctx, in); err != nil {
		return err
	}
	text, err := idempotency.Encode(&r)
	if err != nil {
		return fault.Internalf("encoding an idempotency result: %w", err)
	}
	result, err := c.db.NewUpdate().Model((*idempotencyRow)(nil)).
		Set("done = ?, result = ?, completed_at = ?", true, string(text), session.Moment(r.Completed)).
		Where(mine, mineArgs(rowOfClaim(in, claim))...).Exec(ctx)
	if err != nil {
		return c.failed(ctx, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		if err != nil {
			return c.failed(ctx, err)
		}
		return fault.New(fault.Conflict, "The idempotency key has passed to another request.").WithCode(idempotency.Passed)
	}
	return nil
}

// Release gives the key back.
func (c idempotencies) Release(ctx context.Context, in tenancy.Scope, claim idempotency.Claim) error {
	if err := c.writing(ctx, in); err != nil {
		return err
	}
	_, err := c.db.NewDelete().Model((*idempotencyRow)(nil)).Where(mine, mineArgs(rowOfClaim(in, claim))...).Exec(ctx)
	return c.failed(ctx, err)
}

// forgotten is how many results one transaction forgets at most, so that others
// do not wait long for it.
const forgotten = 1000

// Prune forgets results that were completed before the moment, and claims that
// lapsed before it: the oldest, as many as one transaction may.
func (c idempotencies) Prune(ctx context.Context, before time.Time) (int, error) {
	before = session.Moment(before)
	if c.shared() { // where tenants are kept apart, only this function reaches all
		var n int
		err := c.db.NewRaw("SELECT forget_idempotency(?, ?)", before, forgotten).Scan(ctx, &n)
		return n, c.failed(ctx, err)
	}
	old := c.db.NewSelect().Model((*idempotencyRow)(nil)).Column("org_id", "user_id", "key").
		Where("done AND completed_at < ? OR NOT done AND lapses_at < ?", before, before).Limit(forgotten)
	result, err := c.db.NewDelete().Model((*idempotencyRow)(nil)).Where("(org_id, user_id, key) IN (?)", old).Exec(ctx)
	if err != nil {
		return 0, c.failed(ctx, err)
	}
	n, err := result.RowsAffected()
	return int(n), c.failed(ctx, err)
}

// Lapse lets all running claims lapse, whatever the clock says later: for an
// owner who knows that whoever made them is dead.
func (r *Repositories) Lapse(ctx context.Context) error {
	_, err := r.db.NewUpdate().Model((*idempotencyRow)(nil)).Set("lapses_at = ?", time.Time{}).Where("NOT done").Exec(ctx)
	return r.failed(ctx, err)
}
