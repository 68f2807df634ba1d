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
		if e.Result, err = decodeResult(*r.Result); err != nil {
			return nil, corrupt("idempotency result", err)
		}
	}
	return e, nil
}

type idempotencies struct{ *Repositories }

// find selects the row under a key, or nil.
func (c idempotencies) find(ctx context.Context, in tenancy.Scope, key idempotency.Key) (*idempotencyRow, error) {
	var row idempotencyRow
	err := c.db.NewSelect().Model(&row).
		Where("org_id = ? AND user_id = ? AND key = ?", in.Org().UUID(), in.User().UUID(), hex.EncodeToString(key[:])).Scan(ctx)
	if noRows(err) {
		return nil, nil
	}
	return &row, c.failed(ctx, err)
}

// Claim reserves the key, or returns what an earlier request left. It runs in a
// transaction that no other writer is in.
func (c idempotencies) Claim(ctx context.Context, in tenancy.Scope, claim idempotency.Claim) (none idempotency.Outcome, err error) {
	if err := owned(in); err != nil {
		return none, err
	}
	row, err := c.find(ctx, in, claim.Key)
	if err != nil {
		return none, err
	}
	var entry *idempotency.Entry
	if row != nil {
		if entry, err = row.entry(claim.Key); err != nil {
			return none, err
		}
	}
	out, err := idempotency.Meet(entry, claim)
	if err != nil || !out.Claimed {
		return out, err
	}
	_, err = c.db.NewInsert().Model(rowOfClaim(in, claim)).On("CONFLICT (org_id, user_id, key) DO UPDATE").
		Set("body = EXCLUDED.body, owner = EXCLUDED.owner, claimed_at = EXCLUDED.claimed_at, lapses_at = EXCLUDED.lapses_at").
		Set("done = EXCLUDED.done, result = NULL, completed_at = NULL").Returning(nothing).Exec(ctx)
	return out, c.failed(ctx, err)
}

// mine bounds a statement to the running row that claim made.
const mine = "org_id = ? AND user_id = ? AND key = ? AND owner = ? AND claimed_at = ? AND NOT done"

func mineArgs(r *idempotencyRow) []any {
	return []any{r.OrgID, r.UserID, r.Key, r.Owner, r.ClaimedAt}
}

// Complete stores the result under the claimed key.
func (c idempotencies) Complete(ctx context.Context, in tenancy.Scope, claim idempotency.Claim, r idempotency.Result) error {
	if err := owned(in); err != nil {
		return err
	}
	text, err := encodeResult(&r)
	if err != nil {
		return fault.Internalf("encoding an idempotency result: %w", err)
	}
	result, err := c.db.NewUpdate().Model((*idempotencyRow)(nil)).
		Set("done = ?, result = ?, completed_at = ?", true, text, session.Moment(r.Completed)).
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
	if err := owned(in); err != nil {
		return err
	}
	_, err := c.db.NewDelete().Model((*idempotencyRow)(nil)).Where(mine, mineArgs(rowOfClaim(in, claim))...).Exec(ctx)
	return c.failed(ctx, err)
}

// Prune forgets what was completed before the moment.
func (c idempotencies) Prune(ctx context.Context, before time.Time) (int, error) {
	result, err := c.db.NewDelete().Model((*idempotencyRow)(nil)).Where("done AND completed_at < ?", session.Moment(before)).Exec(ctx)
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
