package memory

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// table holds the sessions and the ways to them.
type table struct {
	byID    map[session.ID]*record
	byKey   map[keyOf]*record
	byOwner map[owner][]*record // by id, ascending
	order   []session.ID        // by creation here, for eviction; may name what is gone
	bytes   int                 // what all turns hold, roughly
}

type record struct {
	session session.Session
	turns   []session.Turn
	bytes   int
}

// sizeOf is roughly what a turn holds in memory.
func sizeOf(t *session.Turn) int {
	const own = 1024 // the turn itself and its share of the indexes
	n := own + len(t.Message.Refusal)
	for i := range t.Message.Parts {
		n += len(t.Message.Parts[i].Text) + len(t.Message.Parts[i].JSON)
	}
	for i := range t.Message.ToolCalls {
		n += len(t.Message.ToolCalls[i].Arguments)
	}
	return n
}

type keyOf struct {
	owner
	key session.Key
}

func (r *record) owner() owner { return owner{r.session.Org, r.session.User} }
func (r *record) keyOf() keyOf { return keyOf{r.owner(), r.session.Key} }

func byID(r *record, id session.ID) int { return bytes.Compare(r.session.ID[:], id[:]) }

func (t *table) add(r *record) {
	t.bytes += r.bytes
	t.byID[r.session.ID] = r
	if !r.session.Key.IsZero() {
		t.byKey[r.keyOf()] = r
	}
	list := t.byOwner[r.owner()]
	if n := len(list); n == 0 || byID(list[n-1], r.session.ID) < 0 {
		t.byOwner[r.owner()] = append(list, r) // ids come in order, nearly always
		return
	}
	at, _ := slices.BinarySearchFunc(list, r.session.ID, byID)
	t.byOwner[r.owner()] = slices.Insert(list, at, r)
}

func (t *table) remove(r *record) {
	t.bytes -= r.bytes
	delete(t.byID, r.session.ID)
	if !r.session.Key.IsZero() {
		delete(t.byKey, r.keyOf())
	}
	list := t.byOwner[r.owner()]
	if at, found := slices.BinarySearchFunc(list, r.session.ID, byID); found {
		if at < len(list)/2 { // eviction takes one of the first: the few before it move
			copy(list[1:], list[:at])
			list[0], list = nil, list[1:]
		} else {
			list = slices.Delete(list, at, at+1)
		}
	}
	if len(list) == 0 {
		delete(t.byOwner, r.owner())
		return
	}
	t.byOwner[r.owner()] = list
}

// evict forgets the oldest sessions beyond the bounds, but not the last.
func (s *Store) evict() {
	t := &s.sessions
	for (len(t.byID) > s.max || t.bytes > s.maxBytes) && len(t.byID) > 1 {
		id := t.order[0]
		t.order = t.order[1:]
		if r := t.byID[id]; r != nil {
			t.remove(r)
		}
	}
	if len(t.order) > 2*s.max { // the ids of deleted sessions
		t.order = slices.DeleteFunc(slices.Clone(t.order), func(id session.ID) bool { return t.byID[id] == nil })
	}
}

type sessions struct {
	s *Store
	locker
}

// find gets the record that the scope may see; the mutex must be held.
func (c sessions) find(in tenancy.Scope, id session.ID) (*record, error) {
	if r := c.s.sessions.byID[id]; r != nil && in.Admits(r.session.Org, r.session.User) {
		return r, nil
	}
	return nil, absent()
}

func absent() error {
	return fault.NotFoundf("session_not_found", "There is no such session.")
}

// Create stores a new session.
func (c sessions) Create(ctx context.Context, in tenancy.Scope, s *session.Session) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if !in.Admits(s.Org, s.User) {
		return fault.New(fault.Forbidden, "A session can be created for its own user only.")
	}
	r := &record{session: *s}
	r.session.Turns = 0
	if c.s.sessions.byID[s.ID] != nil {
		return fault.New(fault.Conflict, "There is a session with this id already.")
	}
	if !s.Key.IsZero() && c.s.sessions.byKey[r.keyOf()] != nil {
		return taken()
	}
	c.s.sessions.add(r)
	c.s.sessions.order = append(c.s.sessions.order, s.ID)
	c.s.onUndo(func() { c.s.sessions.remove(r) })
	return nil
}

func taken() error {
	return fault.New(fault.Conflict, "There is a session with this conversation key already.")
}

// Get returns the session.
func (c sessions) Get(ctx context.Context, in tenancy.Scope, id session.ID) (*session.Session, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	r, err := c.find(in, id)
	if err != nil {
		return nil, err
	}
	s := r.session
	return &s, nil
}

// ByKey returns the session that has the conversation key.
func (c sessions) ByKey(ctx context.Context, in tenancy.Scope, key session.Key) (*session.Session, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	r := c.s.sessions.byKey[keyOf{owner{in.Org(), in.User()}, key}]
	if r == nil || in.IsZero() {
		return nil, absent()
	}
	s := r.session
	return &s, nil
}

// Update stores what change makes of the session.
func (c sessions) Update(ctx context.Context, in tenancy.Scope, id session.ID, change func(*session.Session) error) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r, err := c.find(in, id)
	if err != nil {
		return err
	}
	old := r.session
	s := old
	if err := change(&s); err != nil {
		return err
	}
	s.ID, s.Org, s.User, s.Created, s.Turns = old.ID, old.Org, old.User, old.Created, old.Turns
	if s.Key != old.Key {
		if !s.Key.IsZero() && c.s.sessions.byKey[keyOf{r.owner(), s.Key}] != nil {
			return taken()
		}
	}
	c.s.sessions.rewrite(r, s)
	c.s.onUndo(func() { c.s.sessions.rewrite(r, old) })
	return nil
}

// rewrite replaces a record's session and keeps the index of keys.
func (t *table) rewrite(r *record, s session.Session) {
	if r.session.Key != s.Key {
		if !r.session.Key.IsZero() {
			delete(t.byKey, r.keyOf())
		}
		if !s.Key.IsZero() {
			t.byKey[keyOf{r.owner(), s.Key}] = r
		}
	}
	r.session = s
}

// Append adds turns after the one whose sequence number is after.
func (c sessions) Append(ctx context.Context, in tenancy.Scope, id session.ID, after int, turns ...session.Turn) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r, err := c.find(in, id)
	if err != nil {
		return err
	}
	if len(r.turns) != after {
		return fault.New(fault.Conflict, "The session has gone on meanwhile.").WithCode("session_changed")
	}
	// A new slice, so that what was handed out before does not share its tail.
	grown := make([]session.Turn, 0, len(r.turns)+len(turns))
	grown = append(grown, r.turns...)
	size := 0
	for i, turn := range turns {
		turn.Seq = after + i + 1
		grown = append(grown, turn)
		size += sizeOf(&turn)
	}
	old := r.turns
	set := func(turns []session.Turn, size int) {
		r.turns, r.session.Turns = turns, len(turns)
		r.bytes += size
		c.s.sessions.bytes += size
	}
	set(grown, size)
	c.s.onUndo(func() { set(old, -size) })
	return nil
}

// History returns all turns in order.
func (c sessions) History(ctx context.Context, in tenancy.Scope, id session.ID) ([]session.Turn, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	r, err := c.find(in, id)
	if err != nil {
		return nil, err
	}
	return slices.Clone(r.turns), nil
}

// Turns returns one page of the turns.
func (c sessions) Turns(ctx context.Context, in tenancy.Scope, id session.ID, q page.Query) (page.Of[session.Turn], error) {
	all, err := c.History(ctx, in, id)
	if err != nil {
		return page.Of[session.Turn]{}, err
	}
	at := func(cursor string) (int, error) {
		tid, err := session.ParseTurnID(cursor)
		if err == nil {
			if i := slices.IndexFunc(all, func(t session.Turn) bool { return t.ID == tid }); i >= 0 {
				return i, nil
			}
		}
		return 0, badCursor()
	}
	return cut(all, q, at)
}

func badCursor() error {
	return fault.Invalidf("after", "invalid_cursor", "The cursor names nothing in this list.")
}

// List returns one page of the scope's sessions.
func (c sessions) List(ctx context.Context, in tenancy.Scope, q page.Query) (page.Of[*session.Session], error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return page.Of[*session.Session]{}, err
	}
	defer leave()
	list := c.s.sessions.byOwner[owner{in.Org(), in.User()}]
	found, err := cut(list, q, func(cursor string) (int, error) {
		id, err := session.ParseID(cursor)
		if err != nil {
			return 0, badCursor()
		}
		at, there := slices.BinarySearchFunc(list, id, byID)
		if !there {
			at = -at - 1 // between two elements
		}
		return at, nil
	})
	out := page.Of[*session.Session]{More: found.More}
	for _, r := range found.Items {
		s := r.session
		out.Items = append(out.Items, &s)
	}
	return out, err
}

// cut takes a page out of all, which is ascending. at finds a cursor's index;
// a negative one, -i-1, says that it stands before the element i.
func cut[T any](all []T, q page.Query, at func(cursor string) (int, error)) (page.Of[T], error) {
	lo, hi := 0, len(all)
	// In descending order what comes after a cursor stands before it.
	if cursor := cmp.Or(q.After, q.Before); cursor != "" {
		i, err := at(cursor)
		if err != nil {
			return page.Of[T]{}, err
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
	window := all[lo:hi]
	more := len(window) > q.Limit
	// The page lies at the end of the window that the cursor bounds.
	fromStart := (q.Before == "") != q.Desc
	if more && fromStart {
		window = window[:q.Limit]
	} else if more {
		window = window[len(window)-q.Limit:]
	}
	items := slices.Clone(window)
	if q.Desc {
		slices.Reverse(items)
	}
	return page.Of[T]{Items: items, More: more}, nil
}

// Delete removes the session and its turns.
func (c sessions) Delete(ctx context.Context, in tenancy.Scope, id session.ID) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r, err := c.find(in, id)
	if err != nil {
		return err
	}
	c.s.sessions.remove(r)
	c.s.onUndo(func() { c.s.sessions.add(r) })
	return nil
}
