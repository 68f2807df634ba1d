package bunstore

import (
	"context"

	"github.com/uptrace/bun"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

type placeRow struct {
	bun.BaseModel `bun:"table:audit_places,alias:p"`

	OrgID  string `bun:"org_id,pk"`
	OrgSeq uint64 `bun:"org_seq"`
	Hash   []byte `bun:"hash"`
}

type retiredRow struct {
	bun.BaseModel `bun:"table:audit_retired,alias:t"`

	Last     uint64 `bun:"last,pk"`
	Hash     []byte `bun:"hash"`
	Recorded uint64 `bun:"recorded"`
}

// Retire removes the entries that an entry says are retired.
func (t trail) Retire(ctx context.Context, r audit.Retirement, recorded uint64) (gone int, err error) {
	err = t.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) (err error) {
		gone, err = tx.(*Repositories).retire(ctx, r, recorded)
		return err
	})
	return gone, err
}

func (r *Repositories) retire(ctx context.Context, what audit.Retirement, recorded uint64) (int, error) {
	unsaid := fault.New(fault.Conflict, "The audit log does not say that its entries through %d are retired.", what.Last).WithCode("audit_not_retired")
	if r.shared() { // whose role may remove nothing itself
		var gone int
		err := r.db.NewRaw("SELECT audit_retire(?, ?, ?)", int64(what.Last), what.Hash[:], int64(recorded)).Scan(ctx, &gone)
		if err == nil && gone < 0 {
			return 0, unsaid
		}
		return gone, r.failed(ctx, err)
	}
	var says, last auditRow
	for seq, row := range map[uint64]*auditRow{recorded: &says, what.Last: &last} {
		err := r.db.NewSelect().Model(row).Where("chain = ? AND seq = ?", audit.Chain, seq).Scan(ctx)
		if noRows(err) {
			return 0, unsaid
		}
		if err != nil {
			return 0, r.failed(ctx, err)
		}
	}
	e := last.sealed()
	if s := says.sealed(); !what.RecordedBy(&s) || e.Hash != what.Hash {
		return 0, unsaid
	}
	_, err := r.db.NewInsert().Model(&retiredRow{Last: what.Last, Hash: what.Hash[:], Recorded: recorded}).Returning(nothing).Exec(ctx)
	if err == nil {
		_, err = r.db.NewRaw("INSERT INTO audit_places (org_id, org_seq, hash) SELECT a.org_id, a.org_seq, a.hash FROM audit a "+
			"JOIN (SELECT org_id, max(org_seq) AS org_seq FROM audit WHERE chain = ? AND seq <= ? AND org_id IS NOT NULL GROUP BY org_id) m "+
			"ON a.chain = ? AND a.org_id = m.org_id AND a.org_seq = m.org_seq WHERE true "+
			"ON CONFLICT (org_id) DO UPDATE SET org_seq = excluded.org_seq, hash = excluded.hash", audit.Chain, what.Last, audit.Chain).Exec(ctx)
	}
	if err != nil {
		return 0, r.failed(ctx, err)
	}
	done, err := r.db.NewDelete().Model((*auditRow)(nil)).Where("chain = ? AND seq <= ?", audit.Chain, what.Last).Exec(ctx)
	if err != nil {
		return 0, r.failed(ctx, err)
	}
	n, err := done.RowsAffected()
	return int(n), r.failed(ctx, err)
}

// Retired returns the number of the entry that recorded the last retirement.
func (t trail) Retired(ctx context.Context) (uint64, error) {
	return read(ctx, t.o, func(ctx context.Context, r *Repositories) (uint64, error) {
		if err := r.whole(ctx, tenancy.OrgID{}); err != nil {
			return 0, err
		}
		var row retiredRow
		err := r.db.NewSelect().Model(&row).Column("recorded").Order("last DESC").Limit(1).Scan(ctx)
		if noRows(err) {
			return 0, nil
		}
		return row.Recorded, r.failed(ctx, err)
	})
}
