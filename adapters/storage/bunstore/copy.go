package bunstore

import (
	"context"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Transaction runs fn in one transaction: all that fn did is kept if it returns
// nil, and none of it otherwise.
type Transaction func(ctx context.Context, fn func(ctx context.Context, r *Repositories) error) error

// Progress is how far a copy is, in rows of all tables.
type Progress struct {
	Table       string
	Done, Total int64 // with what was there before
	Added       int64 // by this copy
}

// Copied is how one organisation's rows in one table stand after a copy.
type Copied struct {
	Table string
	Org   tenancy.OrgID
	Rows  int64 // in the source
	Added int64 // by this copy
	There int64 // in the target
	Same  bool  // the target holds as many rows, and they add up to the same
}

// copying is a copy under way.
type copying struct {
	from, to Transaction
	tell     func(Progress)
	progress Progress
}

// pass counts rows that are dealt with, some of which were added just now.
func (c *copying) pass(table string, rows, added int64) {
	c.progress.Table = table
	c.progress.Done += rows
	c.progress.Added += added
	c.tell(c.progress)
}

// Copy copies all sessions with their turns, usage, and idempotency results from
// one database to another, and tells after each batch how far it is. Each batch
// is one transaction, in the order of the primary key, so that what the target
// holds says where a copy that was broken off goes on; a row that is there is
// left as it is. The source must not change meanwhile. It can only be one in
// which no tenant needs to be named, since it is asked which there are.
// fault.Conflict: the target has something else in a row's place.
func Copy(ctx context.Context, from, to Transaction, tell func(Progress)) ([]Copied, error) {
	var (
		c   = &copying{from: from, to: to, tell: tell}
		all = make([][]share, len(copied))
		out []Copied
	)
	for i, table := range copied {
		err := from(ctx, func(ctx context.Context, r *Repositories) (err error) {
			all[i], err = table.shares(ctx, r)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, s := range all[i] {
			c.progress.Total += s.rows
		}
	}
	for i, table := range copied {
		for _, s := range all[i] {
			one, err := table.copy(ctx, c, s.org)
			if err != nil {
				return out, err
			}
			out = append(out, one)
		}
	}
	return out, nil
}

// share is what a table holds of an organisation's.
type share struct {
	org  tenancy.OrgID
	rows int64
}

// of names the organisation whose rows are meant to the database.
func (r *Repositories) of(ctx context.Context, org tenancy.OrgID) error {
	if r.enter == nil {
		return nil
	}
	return r.failed(ctx, r.enter(ctx, org))
}

// taken says what a conflict of a copied row is about.
func taken(table string, err error) error {
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	return fault.Wrap(fault.Conflict, err, "The target has something else where a row of %s belongs.", table).
		WithHint("Copy into a database that holds nothing but what was copied from here.")
}
