package memory

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

type sessions struct {
	s *Store
	locker
}

// own gets the record that the scope may change; the mutex must be held.
func (c sessions) own(in tenancy.Scope, id session.ID) (*record, error) {
	if in.IsZero() {
		return nil, forbidden()
	}
	return c.find(in, id)
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
func (c sessions) Create(ctx context.Context, in tenancy.Scope, s *session.Session, turns ...session.Turn) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if !in.Admits(s.Org, s.User) {
		return fault.New(fault.Forbidden, "A session can be created for its own user only.")
	}
	if c.s.sessions.byID[s.ID] != nil {
		return fault.New(fault.Conflict, "There is a session with this id already.")
	}
	if !s.Key.IsZero() && c.s.sessions.byKey[keyOf{owner{s.Org, s.User}, s.Key}] != nil {
		return taken()
	}
	r := &record{session: *s, turns: turns, bytes: sizeOfMetadata(s) + number(turns, 0)}
	r.session.Metadata = maps.Clone(s.Metadata)
	r.session.Turns, r.session.Version = len(turns), 1
	r.session.Created, r.session.Updated = session.Moment(s.Created), session.Moment(s.Updated)
	c.s.sessions.create(r)
	c.s.onUndo(c.s.sessions.uncreate)
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
	return r.session.Clone(), nil
}

// Find returns a session of whichever of the realm's users.
func (c sessions) Find(ctx context.Context, in tenancy.Realm, id session.ID) (*session.Session, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	r := c.s.sessions.byID[id]
	if r == nil || in.IsZero() || r.session.Org != in.Org() {
		return nil, absent()
	}
	return r.session.Clone(), nil
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
	return r.session.Clone(), nil
}

// Update stores what change makes of the session.
func (c sessions) Update(ctx context.Context, in tenancy.Scope, id session.ID, change func(*session.Session) error) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r, err := c.own(in, id)
	if err != nil {
		return err
	}
	old, changed := r.session, r.session.Clone()
	if err := change(changed); err != nil {
		return err
	}
	s := *changed.Clone() // the caller may have kept what it changed
	s.Version = old.Version + 1
	s.ID, s.Org, s.User, s.Created, s.Turns = old.ID, old.Org, old.User, old.Created, old.Turns
	s.Updated = session.Moment(s.Updated)
	if s.Key != old.Key && !s.Key.IsZero() && c.s.sessions.byKey[keyOf{r.owner(), s.Key}] != nil {
		return taken()
	}
	c.s.sessions.rewrite(r, s)
	c.s.onUndo(func() { c.s.sessions.rewrite(r, old) })
	return nil
}

// Append adds turns after the one whose sequence number is after.
func (c sessions) Append(ctx context.Context, in tenancy.Scope, id session.ID, after int, turns ...session.Turn) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r, err := c.own(in, id)
	if err != nil {
		return err
	}
	if len(r.turns) != after {
		return fault.New(fault.Conflict, "The session has gone on meanwhile.").WithCode("session_changed")
	}
	old, before := r.turns, r.session
	now := before
	now.Turns, now.Version = after+len(turns), before.Version+1
	if t, ok := session.Answered(turns); ok {
		now.Agent, now.Model, now.Native, now.Updated = t.Agent, t.Model, t.Native, session.Moment(t.Created)
	}
	size := number(turns, after)
	set := func(s session.Session, turns []session.Turn, size int) {
		r.session, r.turns = s, turns
		r.bytes += size
		c.s.sessions.bytes += size
	}
	set(now, append(old, turns...), size)
	c.s.onUndo(func() { set(before, old, -size) })
	return nil
}

// number gives turns their sequence numbers after another one's, and tells their size.
func number(turns []session.Turn, after int) (size int) {
	for i := range turns {
		t := &turns[i]
		t.Seq, t.Created = after+1+i, session.Moment(t.Created)
		size += sizeOf(t)
	}
	return size
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
	return copies(r.turns), nil
}

// copies clones turns with all that a receiver could change in them.
func copies(turns []session.Turn) []session.Turn {
	out := slices.Clone(turns)
	for i := range out {
		m := &out[i].Message
		m.Parts, m.ToolCalls = slices.Clone(m.Parts), slices.Clone(m.ToolCalls)
		for j := range m.Parts {
			m.Parts[j].JSON = bytes.Clone(m.Parts[j].JSON)
		}
	}
	return out
}

// Delete removes the session and its turns.
func (c sessions) Delete(ctx context.Context, in tenancy.Scope, id session.ID) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r, err := c.own(in, id)
	if err != nil {
		return err
	}
	c.s.sessions.remove(r)
	c.s.onUndo(func() { c.s.sessions.add(r) })
	return nil
}
