package memory

import (
	"cmp"
	"context"
	"slices"

	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// Turns returns one page of the turns.
func (c sessions) Turns(ctx context.Context, in tenancy.Scope, id session.ID, q page.Query) (page.Of[session.Turn], error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return page.Of[session.Turn]{}, err
	}
	defer leave()
	r, err := c.find(in, id)
	if err != nil {
		return page.Of[session.Turn]{}, err
	}
	found, err := cut(r.turns, q, func(session.Turn) bool { return true }, func(cursor string) (int, bool) {
		tid, err := session.ParseTurnID(cursor)
		at := slices.IndexFunc(r.turns, func(t session.Turn) bool { return t.ID == tid })
		return at, err == nil && at >= 0
	})
	found.Items = copies(found.Items)
	return found, err
}

// List returns one page of the scope's sessions that the filter chooses.
func (c sessions) List(ctx context.Context, in tenancy.Scope, f session.Filter, q page.Query) (page.Of[*session.Session], error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return page.Of[*session.Session]{}, err
	}
	defer leave()
	return c.s.sessions.page(c.s.sessions.byOwner[owner{in.Org(), in.User()}], f, q)
}

// ListAll returns one page of the realm's sessions that the filter chooses.
func (c sessions) ListAll(ctx context.Context, in tenancy.Realm, f session.Filter, q page.Query) (page.Of[*session.Session], error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return page.Of[*session.Session]{}, err
	}
	defer leave()
	var list []session.ID
	for who, own := range c.s.sessions.byOwner {
		if who.org == in.Org() && !in.IsZero() {
			list = append(list, own...)
		}
	}
	slices.SortFunc(list, compare)
	return c.s.sessions.page(list, f, q)
}

// page takes a page out of sessions that are sorted by id.
func (t *table) page(list []session.ID, f session.Filter, q page.Query) (page.Of[*session.Session], error) {
	found, err := cut(list, q, func(id session.ID) bool { return f.Chooses(&t.byID[id].session) }, func(cursor string) (int, bool) {
		id, err := session.ParseID(cursor)
		at, there := slices.BinarySearchFunc(list, id, compare)
		if !there {
			at = -at - 1 // between two elements
		}
		return at, err == nil
	})
	out := page.Of[*session.Session]{More: found.More}
	for _, id := range found.Items {
		out.Items = append(out.Items, t.byID[id].session.Clone())
	}
	return out, err
}

// cut takes a page of what is chosen out of all, which is ascending. at finds a cursor's index,
// if it is one; a negative one, -i-1, says that it stands before the element i.
func cut[T any](all []T, q page.Query, chosen func(T) bool, at func(cursor string) (i int, ok bool)) (page.Of[T], error) {
	return cutFrom(len(all), func(i int) T { return all[i] }, q, chosen, at)
}

// cutFrom does what cut does with n things, of which get gives each.
func cutFrom[T any](n int, get func(i int) T, q page.Query, chosen func(T) bool, at func(cursor string) (i int, ok bool)) (page.Of[T], error) {
	lo, hi := 0, n
	// In descending order what comes after a cursor stands before it.
	if cursor := cmp.Or(q.After, q.Before); cursor != "" {
		i, ok := at(cursor)
		if !ok {
			param := "after"
			if q.After == "" {
				param = "before"
			}
			return page.Of[T]{}, fault.Invalidf(param, "invalid_cursor", "The cursor names nothing in this list.")
		}
		switch up := (q.After != "") != q.Desc; {
		case up && i < 0:
			lo = -i - 1
		case up:
			lo = i + 1
		case i < 0:
			hi = -i - 1
		default:
			hi = i
		}
	}
	// The page lies at the end of the window that the cursor bounds.
	fromStart := (q.Before == "") != q.Desc
	var items []T
	for i := 0; i < hi-lo && len(items) <= q.Limit; i++ {
		one := lo + i
		if !fromStart {
			one = hi - 1 - i
		}
		if v := get(one); chosen(v) {
			items = append(items, v)
		}
	}
	more := len(items) > q.Limit
	if more {
		items = items[:q.Limit]
	}
	if fromStart == q.Desc {
		slices.Reverse(items)
	}
	return page.Of[T]{Items: items, More: more}, nil
}
