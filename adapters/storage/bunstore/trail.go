package bunstore

import (
	"context"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

type auditRow struct {
	bun.BaseModel `bun:"table:audit,alias:a"`

	Chain    uint64  `bun:"chain,pk"`
	Seq      uint64  `bun:"seq,pk"`
	OrgID    *string `bun:"org_id"`
	OrgSeq   *uint64 `bun:"org_seq"`
	ID       string  `bun:"id"`
	AtMicros int64   `bun:"at_us"`
	Actor    string  `bun:"actor"`
	Action   string  `bun:"action"`
	Target   string  `bun:"target"`
	Outcome  string  `bun:"outcome"`
	Request  string  `bun:"request"`
	Instance string  `bun:"instance"`
	Canon    []byte  `bun:"canon"`
	Prev     []byte  `bun:"prev"`
	Hash     []byte  `bun:"hash"`
}

type checkpointRow struct {
	bun.BaseModel `bun:"table:audit_checkpoints,alias:c"`

	Number uint64 `bun:"number,pk,autoincrement"`
	Size   uint64 `bun:"size"`
	Note   string `bun:"note"`
}

func rowOfSealed(s *audit.Sealed) *auditRow {
	c := &s.Columns
	r := &auditRow{
		Chain: s.Chain, Seq: s.Seq, ID: c.ID.UUID(), AtMicros: c.AtMicros, Actor: c.Actor, Action: string(c.Action), Target: c.Target,
		Outcome: string(c.Outcome), Request: c.Request, Instance: c.Instance, Canon: s.Canon, Prev: s.Prev[:], Hash: s.Hash[:],
	}
	if !c.Org.IsZero() {
		org := c.Org.UUID()
		r.OrgID, r.OrgSeq = &org, &c.OrgSeq
	}
	return r
}

// sealed gives the row as it is: what is wrong with it, the verifier says.
func (r *auditRow) sealed() audit.Sealed {
	s := audit.Sealed{Chain: r.Chain, Seq: r.Seq, Canon: r.Canon, Columns: audit.Columns{
		AtMicros: r.AtMicros, Actor: r.Actor, Action: audit.Action(r.Action), Target: r.Target, Outcome: audit.Outcome(r.Outcome),
		Request: r.Request, Instance: r.Instance, OrgSeq: value(r.OrgSeq),
	}}
	s.Columns.ID, _ = audit.ParseID(r.ID)
	if r.OrgID != nil {
		s.Columns.Org, _ = tenancy.ParseOrgID(*r.OrgID)
	}
	copy(s.Prev[:], r.Prev)
	copy(s.Hash[:], r.Hash)
	return s
}

// seal puts the entries behind the head, in the transaction that nobody else
// writes beside.
func (r *Repositories) seal(ctx context.Context, entries []audit.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	head, err := r.head(ctx)
	if err != nil {
		return Unsealed(err)
	}
	sealer := audit.Sealer{Head: head, Orgs: make(map[tenancy.OrgID]audit.Place)}
	rows := make([]*auditRow, len(entries))
	for i, e := range entries {
		if org := e.Org(); !org.IsZero() {
			if _, known := sealer.Orgs[org]; !known {
				if sealer.Orgs[org], err = r.place(ctx, org); err != nil {
					return Unsealed(err)
				}
			}
		}
		s := sealer.Seal(e)
		rows[i] = rowOfSealed(&s)
	}
	_, err = r.db.NewInsert().Model(&rows).Returning(nothing).Exec(ctx)
	return Unsealed(r.failed(ctx, err))
}

// Unsealed says of an error that the audit log is at fault.
func Unsealed(err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fault.Unavailable, err, "The audit log cannot be written.").WithCode("audit_unavailable").WithRetryAfter(time.Second)
}

// place gives an organisation's last place.
func (r *Repositories) place(ctx context.Context, org tenancy.OrgID) (p audit.Place, err error) {
	var row auditRow
	err = r.db.NewSelect().Model(&row).Column("org_seq", "hash").Where("chain = ? AND org_id = ?", audit.Chain, org.UUID()).
		Order("org_seq DESC").Limit(1).Scan(ctx)
	if noRows(err) { // it has none, or none that is left
		var kept placeRow
		if err = r.db.NewSelect().Model(&kept).Where("org_id = ?", org.UUID()).Scan(ctx); noRows(err) {
			return p, nil
		}
		row.OrgSeq, row.Hash = &kept.OrgSeq, kept.Hash
	}
	p.Seq = value(row.OrgSeq)
	copy(p.Prev[:], row.Hash)
	return p, r.failed(ctx, err)
}

func (r *Repositories) head(ctx context.Context) (h audit.Head, err error) {
	var first, last auditRow
	err = r.db.NewSelect().Model(&last).Column("seq", "hash").Where("chain = ?", audit.Chain).Order("seq DESC").Limit(1).Scan(ctx)
	if noRows(err) {
		return h, nil
	}
	if err == nil {
		err = r.db.NewSelect().Model(&first).Column("seq").Where("chain = ?", audit.Chain).Order("seq").Limit(1).Scan(ctx)
	}
	h.Seq, h.First = last.Seq, first.Seq
	copy(h.Hash[:], last.Hash)
	return h, r.failed(ctx, err)
}

// Trail reads the audit log.
func (o *Outer) Trail() ports.Trail { return trail{o} }

type trail struct{ o *Outer }

// whole tells the database that all of the log is read, or an organisation's own.
func (r *Repositories) whole(ctx context.Context, org tenancy.OrgID) error {
	switch {
	case !r.shared():
		return nil
	case !org.IsZero():
		return r.failed(ctx, r.enter(ctx, org))
	default:
		_, err := r.db.NewRaw("SET LOCAL agentapi.audit = 'on'").Exec(ctx)
		return r.failed(ctx, err)
	}
}

// List returns one page of what the filter chooses.
func (t trail) List(ctx context.Context, f audit.Filter, q page.Query) (page.Of[audit.Sealed], error) {
	return read(ctx, t.o, func(ctx context.Context, r *Repositories) (out page.Of[audit.Sealed], err error) {
		if err := r.whole(ctx, f.Org); err != nil {
			return out, err
		}
		find := func(cursor string) (any, error) {
			seq, err := strconv.ParseInt(cursor, 10, 64)
			if err != nil || seq < 0 {
				return nil, badCursor(q)
			}
			return seq, nil
		}
		var rows []auditRow
		query := r.db.NewSelect().Model(&rows).Where("chain = ?", audit.Chain)
		if !f.Org.IsZero() {
			query = query.Where("org_id = ?", f.Org.UUID())
		}
		if f.Actor != "" {
			query = query.Where("actor = ?", storable(f.Actor))
		}
		if f.Action != "" {
			query = query.Where("action = ?", storable(string(f.Action)))
		}
		if f.Request != "" {
			query = query.Where("request = ?", storable(f.Request))
		}
		if !f.Since.IsZero() {
			query = query.Where("at_us >= ?", f.Since.UnixMicro())
		}
		if !f.Until.IsZero() {
			query = query.Where("at_us < ?", f.Until.UnixMicro())
		}
		out.More, err = cut(ctx, r, query, "seq", q, find, &rows)
		for i := range rows {
			out.Items = append(out.Items, rows[i].sealed())
		}
		return out, err
	})
}

// Range returns the entries behind a sequence number.
func (t trail) Range(ctx context.Context, after uint64, most int) ([]audit.Sealed, error) {
	return read(ctx, t.o, func(ctx context.Context, r *Repositories) ([]audit.Sealed, error) {
		if err := r.whole(ctx, tenancy.OrgID{}); err != nil {
			return nil, err
		}
		var rows []auditRow
		err := r.db.NewSelect().Model(&rows).Where("chain = ? AND seq > ?", audit.Chain, after).Order("seq").Limit(int64(most)).Scan(ctx)
		out := make([]audit.Sealed, len(rows))
		for i := range rows {
			out[i] = rows[i].sealed()
		}
		return out, r.failed(ctx, err)
	})
}

// Head returns the last entry's place.
func (t trail) Head(ctx context.Context) (audit.Head, error) {
	return read(ctx, t.o, func(ctx context.Context, r *Repositories) (audit.Head, error) {
		if err := r.whole(ctx, tenancy.OrgID{}); err != nil {
			return audit.Head{}, err
		}
		return r.head(ctx)
	})
}

// Checkpoint stores a checkpoint.
func (t trail) Checkpoint(ctx context.Context, c audit.Checkpoint) error {
	return t.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error {
		r := tx.(*Repositories)
		_, err := r.db.NewInsert().Model(&checkpointRow{Size: c.Size, Note: c.Note}).ExcludeColumn("number").Returning(nothing).Exec(ctx)
		return r.failed(ctx, err)
	})
}

// Checkpoints returns those behind a number.
func (t trail) Checkpoints(ctx context.Context, after uint64, most int) ([]audit.Checkpoint, error) {
	return read(ctx, t.o, func(ctx context.Context, r *Repositories) ([]audit.Checkpoint, error) {
		return r.checkpoints(ctx, r.db.NewSelect().Where("number > ?", after).Order("number").Limit(int64(most)))
	})
}

// LastCheckpoint returns the one that was stored last.
func (t trail) LastCheckpoint(ctx context.Context) (audit.Checkpoint, error) {
	return read(ctx, t.o, func(ctx context.Context, r *Repositories) (c audit.Checkpoint, err error) {
		all, err := r.checkpoints(ctx, r.db.NewSelect().Order("number DESC").Limit(1))
		if len(all) == 1 {
			c = all[0]
		}
		return c, err
	})
}

func (r *Repositories) checkpoints(ctx context.Context, query *bun.SelectQuery) ([]audit.Checkpoint, error) {
	var rows []checkpointRow
	if err := query.Model(&rows).Scan(ctx); err != nil {
		return nil, r.failed(ctx, err)
	}
	out := make([]audit.Checkpoint, len(rows))
	for i, row := range rows {
		c, err := audit.ParseCheckpoint(row.Note)
		if err != nil { // it is shown as what it is: signed by nobody
			c = audit.Checkpoint{Size: row.Size, Note: row.Note}
		}
		c.Number = row.Number
		out[i] = c
	}
	return out, nil
}
