package bunstore

import (
	"context"
	"errors"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/page"
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

// Copy copies organisations, users, members, their API keys and invitations, what
// identity providers say of them, which agents are out of service, all sessions with their turns, usage, and idempotency
// results from one database to another, and tells after each batch how far it is. Each batch
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
	if err := c.directory(ctx); err != nil {
		return nil, err
	}
	if err := c.switches(ctx); err != nil {
		return nil, err
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

// directory copies the organisations and the users, to whom all else belongs.
func (c *copying) directory(ctx context.Context) error {
	err := walk(ctx, c, func(ctx context.Context, r *Repositories, q page.Query) (page.Of[*tenancy.Org], error) {
		return r.Directory().Orgs(ctx, tenancy.OrgFilter{}, q)
	}, func(o *tenancy.Org) (string, tenancy.Standing) { return o.ID.String(), tenancy.Standing{Org: o} })
	if err != nil {
		return err
	}
	return walk(ctx, c, func(ctx context.Context, r *Repositories, q page.Query) (page.Of[*tenancy.User], error) {
		return r.Directory().Users(ctx, tenancy.UserFilter{}, q)
	}, func(u *tenancy.User) (string, tenancy.Standing) { return u.ID.String(), tenancy.Standing{User: u} })
}

// walk enrols in the target what the source has.
func walk[T any](ctx context.Context, c *copying, list func(context.Context, *Repositories, page.Query) (page.Of[T], error), as func(T) (string, tenancy.Standing)) error {
	for q := (page.Query{Limit: page.MaxLimit}); ; {
		var found page.Of[T]
		err := c.from(ctx, func(ctx context.Context, r *Repositories) (err error) {
			found, err = list(ctx, r, q)
			return err
		})
		if err != nil {
			return err
		}
		err = c.to(ctx, func(ctx context.Context, r *Repositories) error {
			for _, v := range found.Items {
				var s tenancy.Standing
				q.After, s = as(v)
				if err := r.Directory().Enrol(ctx, s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || !found.More {
			return err
		}
	}
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

// errTurned leaves a switch as it is.
var errTurned = errors.New("somebody has turned it in the target")

// switches copies which agents are out of service, where nobody has decided that in
// the target.
func (c *copying) switches(ctx context.Context) error {
	var all []agent.Switch
	err := c.from(ctx, func(ctx context.Context, r *Repositories) (err error) {
		all, err = r.Switches().All(ctx)
		return err
	})
	if err != nil || len(all) == 0 {
		return err
	}
	return c.to(ctx, func(ctx context.Context, r *Repositories) error {
		for _, w := range all {
			err := r.Switches().Turn(ctx, w.Agent, func(v *agent.Switch) error {
				if !v.Changed.IsZero() {
					return errTurned
				}
				v.Off, v.Changed = w.Off, w.Changed
				return nil
			})
			if err != nil && !errors.Is(err, errTurned) {
				return err
			}
		}
		return nil
	})
}
