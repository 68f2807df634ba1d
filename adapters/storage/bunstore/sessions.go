package bunstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

type sessions struct{ *Repositories }

func absent() error {
	return fault.NotFoundf("session_not_found", "There is no such session.")
}

// Create stores a new session.
func (c sessions) Create(ctx context.Context, in tenancy.Scope, s *session.Session, turns ...session.Turn) error {
	if !in.Admits(s.Org, s.User) {
		return fault.New(fault.Forbidden, "A session can be created for its own user only.")
	}
	if err := c.writing(ctx, in); err != nil {
		return err
	}
	row := rowOfSession(s)
	row.Turns, row.Version = len(turns), 1
	if err := insert(ctx, c.Repositories, row); err != nil {
		return err
	}
	return c.insert(ctx, in, s.ID, 0, turns)
}

// one selects the session in the scope that where finds.
func (c sessions) one(ctx context.Context, in tenancy.Scope, where func(*bun.SelectQuery) *bun.SelectQuery) (*session.Session, error) {
	if in.IsZero() {
		return nil, absent()
	}
	if err := c.within(ctx, in); err != nil {
		return nil, err
	}
	var row sessionRow
	query := where(c.db.NewSelect().Model(&row)).Where("org_id = ? AND user_id = ?", in.Org().UUID(), in.User().UUID())
	// Two transactions could wait for each other's sessions.
	if c.locks {
		query = query.For("UPDATE")
		c.hurrying(50 * time.Millisecond)
	}
	err := query.Scan(ctx)
	switch {
	case noRows(err):
		return nil, absent()
	case c.miss(err):
		return nil, fault.New(fault.Conflict, "Another request is at this session. Send this one again.").WithCode("session_changed").WithRetryAfter(time.Second)
	case err != nil:
		return nil, c.failed(ctx, err)
	case c.locks:
		c.hurrying(0)
	}
	return row.session()
}

// Get returns the session.
func (c sessions) Get(ctx context.Context, in tenancy.Scope, id session.ID) (*session.Session, error) {
	return c.one(ctx, in, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("id = ?", id.UUID()) })
}

// Find returns a session of whichever of the realm's users.
func (c sessions) Find(ctx context.Context, in tenancy.Realm, id session.ID) (*session.Session, error) {
	if in.IsZero() {
		return nil, absent()
	}
	if err := c.of(ctx, in.Org()); err != nil {
		return nil, err
	}
	var row sessionRow
	err := c.db.NewSelect().Model(&row).Where("org_id = ? AND id = ?", in.Org().UUID(), id.UUID()).Scan(ctx)
	if noRows(err) {
		return nil, absent()
	}
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	return row.session()
}

// ByKey returns the session that has the conversation key.
func (c sessions) ByKey(ctx context.Context, in tenancy.Scope, key session.Key) (*session.Session, error) {
	return c.one(ctx, in, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("key_source = ? AND key_value = ?", storable(key.Source), storable(key.Value))
	})
}

// Update stores what change makes of the session.
func (c sessions) Update(ctx context.Context, in tenancy.Scope, id session.ID, change func(*session.Session) error) error {
	if err := c.writing(ctx, in); err != nil {
		return err
	}
	old, err := c.Get(ctx, in, id)
	if err != nil {
		return err
	}
	s := *old
	if err := change(&s); err != nil {
		return err
	}
	s.ID, s.Org, s.User, s.Created, s.Turns = old.ID, old.Org, old.User, old.Created, old.Turns
	s.Version = old.Version + 1
	_, err = c.db.NewUpdate().Model(rowOfSession(&s)).ExcludeColumn("turns", "created_at").WherePK().Exec(ctx)
	return c.failed(ctx, err)
}

// Append adds turns after the one whose sequence number is after.
func (c sessions) Append(ctx context.Context, in tenancy.Scope, id session.ID, after int, turns ...session.Turn) error {
	if err := c.writing(ctx, in); err != nil {
		return err
	}
	query := c.db.NewUpdate().Model((*sessionRow)(nil)).Set("turns = turns + ?, version = version + 1", len(turns)).
		Where("org_id = ? AND user_id = ? AND id = ? AND turns = ?", in.Org().UUID(), in.User().UUID(), id.UUID(), after)
	if t, ok := session.Answered(turns); ok {
		query = query.Set("agent = ?, model = ?, native = ?, updated_at = ?",
			storable(string(t.Agent)), storable(t.Model), storable(t.Native), session.Moment(t.Created))
	}
	result, err := query.Exec(ctx)
	if err != nil {
		return c.failed(ctx, err)
	}
	if n, err := result.RowsAffected(); err != nil {
		return c.failed(ctx, err)
	} else if n == 0 {
		if _, err := c.Get(ctx, in, id); err != nil {
			return err
		}
		return fault.New(fault.Conflict, "The session has gone on meanwhile.").WithCode("session_changed")
	}
	return c.insert(ctx, in, id, after, turns)
}

// insert stores turns of a session that has been told of them.
func (c sessions) insert(ctx context.Context, in tenancy.Scope, id session.ID, after int, turns []session.Turn) (err error) {
	rows := make([]*messageRow, len(turns))
	for i := range turns {
		t := turns[i]
		t.Seq = after + i + 1
		if rows[i], err = rowOfTurn(in.Org(), id, &t); err != nil {
			return err
		}
	}
	return insert(ctx, c.Repositories, rows...)
}

// history selects a session's turns.
func (c sessions) history(in tenancy.Scope, id session.ID, rows *[]messageRow) *bun.SelectQuery {
	return c.db.NewSelect().Model(rows).Where("org_id = ? AND session_id = ?", in.Org().UUID(), id.UUID())
}

func turnsOf(rows []messageRow) ([]session.Turn, error) {
	out := make([]session.Turn, len(rows))
	for i := range rows {
		t, err := rows[i].turn()
		if err != nil {
			return nil, err
		}
		out[i] = t
	}
	return out, nil
}

// History returns all turns in order.
func (c sessions) History(ctx context.Context, in tenancy.Scope, id session.ID) ([]session.Turn, error) {
	if _, err := c.Get(ctx, in, id); err != nil {
		return nil, err
	}
	var rows []messageRow
	if err := c.history(in, id, &rows).Order("seq").Scan(ctx); err != nil {
		return nil, c.failed(ctx, err)
	}
	return turnsOf(rows)
}

// Delete removes the session and its turns.
func (c sessions) Delete(ctx context.Context, in tenancy.Scope, id session.ID) error {
	if err := c.writing(ctx, in); err != nil {
		return err
	}
	result, err := c.db.NewDelete().Model((*sessionRow)(nil)).
		Where("org_id = ? AND user_id = ? AND id = ?", in.Org().UUID(), in.User().UUID(), id.UUID()).Exec(ctx)
	if err != nil {
		return c.failed(ctx, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		if err != nil {
			return c.failed(ctx, err)
		}
		return absent()
	}
	return nil
}
