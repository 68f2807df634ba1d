package bunstore

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// Turns returns one page of the turns.
func (c sessions) Turns(ctx context.Context, in tenancy.Scope, id session.ID, q page.Query) (page.Of[session.Turn], error) {
	var none page.Of[session.Turn]
	if _, err := c.Get(ctx, in, id); err != nil {
		return none, err
	}
	find := func(cursor string) (any, error) {
		tid, err := session.ParseTurnID(cursor)
		if err != nil {
			return nil, badCursor(q)
		}
		var at messageRow
		err = c.db.NewSelect().Model(&at).Column("seq").
			Where("org_id = ? AND session_id = ? AND id = ?", in.Org().UUID(), id.UUID(), tid.UUID()).Scan(ctx)
		if noRows(err) {
			return nil, badCursor(q)
		}
		return at.Seq, c.failed(ctx, err)
	}
	var rows []messageRow
	more, err := cut(ctx, c.Repositories, c.history(in, id, &rows), "seq", q, find, &rows)
	if err != nil {
		return none, err
	}
	turns, err := turnsOf(rows)
	return page.Of[session.Turn]{Items: turns, More: more}, err
}

func badCursor(q page.Query) error {
	param := "after"
	if q.After == "" {
		param = "before"
	}
	return fault.Invalidf(param, "invalid_cursor", "The cursor names nothing in this list.")
}

// List returns one page of the scope's sessions that the filter chooses.
func (c sessions) List(ctx context.Context, in tenancy.Scope, f session.Filter, q page.Query) (page.Of[*session.Session], error) {
	if in.IsZero() {
		return page.Of[*session.Session]{}, nil
	}
	if err := c.within(ctx, in); err != nil {
		return page.Of[*session.Session]{}, err
	}
	var rows []sessionRow
	query := c.db.NewSelect().Model(&rows).Where("org_id = ? AND user_id = ?", in.Org().UUID(), in.User().UUID())
	return c.page(ctx, chosen(query, &f), q, &rows)
}

// ListAll returns one page of the realm's sessions that the filter chooses.
func (c sessions) ListAll(ctx context.Context, in tenancy.Realm, f session.Filter, q page.Query) (page.Of[*session.Session], error) {
	if in.IsZero() {
		return page.Of[*session.Session]{}, nil
	}
	if err := c.of(ctx, in.Org()); err != nil {
		return page.Of[*session.Session]{}, err
	}
	var rows []sessionRow
	query := c.db.NewSelect().Model(&rows).Where("org_id = ?", in.Org().UUID())
	return c.page(ctx, chosen(query, &f), q, &rows)
}

// page runs a query of sessions, into rows, for one page by id.
func (c sessions) page(ctx context.Context, query *bun.SelectQuery, q page.Query, into *[]sessionRow) (out page.Of[*session.Session], err error) {
	more, err := cut(ctx, c.Repositories, query, "id", q, func(cursor string) (any, error) {
		id, err := session.ParseID(cursor)
		if err != nil {
			return nil, badCursor(q)
		}
		return id.UUID(), nil
	}, into)
	if err != nil {
		return out, err
	}
	rows := *into
	out.More = more
	for i := range rows {
		s, err := rows[i].session()
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, s)
	}
	return out, nil
}

// cut runs a query for one page by the ascending column by, into rows. find
// gives a cursor's value of that column.
func cut[T any](ctx context.Context, r *Repositories, query *bun.SelectQuery, by string, q page.Query, find func(string) (any, error), rows *[]T) (more bool, err error) {
	cursor, backwards := q.After, false
	if q.Before != "" {
		cursor, backwards = q.Before, true
	}
	// Read away from the cursor; a page before it comes in the wrong order.
	descending := q.Desc != backwards
	if cursor != "" {
		at, err := find(cursor)
		if err != nil {
			return false, err
		}
		sign := ">"
		if descending {
			sign = "<"
		}
		query = query.Where("? "+sign+" ?", bun.Ident(by), at)
	}
	order := "? ASC"
	if descending {
		order = "? DESC"
	}
	if err := query.OrderExpr(order, bun.Ident(by)).Limit(int64(q.Limit) + 1).Scan(ctx); err != nil {
		return false, r.failed(ctx, err)
	}
	if more = len(*rows) > q.Limit; more {
		*rows = (*rows)[:q.Limit]
	}
	if backwards {
		slices.Reverse(*rows)
	}
	return more, nil
}
