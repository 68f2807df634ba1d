package bunstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"agentapi/domain/fault"
	"agentapi/domain/retention"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Upkeep removes what need not be kept.
func (o *Outer) Upkeep() ports.Upkeep { return upkeep{o} }

type upkeep struct{ o *Outer }

// count runs a write that counts what it touched.
func (u upkeep) count(ctx context.Context, do func(context.Context, *Repositories) (int, error)) (n int, err error) {
	err = u.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) (err error) {
		n, err = do(ctx, tx.(*Repositories))
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (u upkeep) Expire(ctx context.Context, rule retention.Rule, most int) (gone int, more bool, err error) {
	gone, err = u.count(ctx, func(ctx context.Context, r *Repositories) (n int, err error) {
		n, more, err = r.expire(ctx, rule, most)
		return n, err
	})
	return gone, more && err == nil, err
}

func (u upkeep) Expiring(ctx context.Context, rule retention.Rule) (int, error) {
	return read(ctx, u.o, func(ctx context.Context, r *Repositories) (int, error) { return r.expiring(ctx, rule) })
}

// Rotate does nothing: rows go one by one.
func (u upkeep) Rotate(ctx context.Context, _, _ time.Time) (int, error) { return 0, Outside(ctx) }

func (u upkeep) Erase(ctx context.Context, in tenancy.Scope, pseudonym tenancy.UserID, most int) (int, error) {
	return u.count(ctx, func(ctx context.Context, r *Repositories) (int, error) { return r.erase(ctx, in, pseudonym, most) })
}

func (u upkeep) Dissolve(ctx context.Context, in tenancy.Realm, most int) (int, error) {
	return u.count(ctx, func(ctx context.Context, r *Repositories) (int, error) { return r.dissolve(ctx, in, most) })
}

func (u upkeep) Lease(ctx context.Context, name, holder string, at time.Time, keep time.Duration) (bool, error) {
	n, err := u.count(ctx, func(ctx context.Context, r *Repositories) (int, error) { return r.lease(ctx, name, holder, at, keep) })
	return n == 1, err
}

// aged is the table of a kind of data, its key, and the column of its age.
func aged(k retention.Kind) (model any, key, age string, err error) {
	switch k {
	case retention.Sessions:
		return (*sessionRow)(nil), "id", "updated_at", nil
	case retention.Usage:
		return (*usageRow)(nil), "id", "created_at", nil
	default:
		return nil, "", "", fault.Internalf("%q is no kind of data that has an age", k)
	}
}

// means are the arguments that say whose data a rule is about.
func means(rule retention.Rule) (only *string, except []string) {
	if !rule.Org.IsZero() {
		text := rule.Org.UUID()
		only = &text
	}
	except = []string{}
	for _, org := range rule.Except {
		except = append(except, org.UUID())
	}
	return only, except
}

// old selects what a rule lets go, where no tenants are kept apart.
func (r *Repositories) old(model any, age string, rule retention.Rule) *bun.SelectQuery {
	q := r.db.NewSelect().Model(model).Where("? < ?", bun.Ident(age), session.Moment(rule.Before))
	only, except := means(rule)
	if only != nil {
		q = q.Where("org_id = ?", *only)
	}
	if len(except) > 0 {
		q = q.Where("org_id NOT IN (?)", bun.In(except))
	}
	return q
}

func (r *Repositories) expire(ctx context.Context, rule retention.Rule, most int) (gone int, more bool, err error) {
	if rule.Kind == retention.AgentHealth {
		return r.expireChanges(ctx, rule.Before, most)
	}
	model, key, age, err := aged(rule.Kind)
	if err != nil {
		return 0, false, err
	}
	if r.shared() { // where tenants are kept apart, only these functions reach all
		only, except := means(rule)
		before := session.Moment(rule.Before)
		if rule.Kind == retention.Sessions {
			err = r.db.NewRaw("SELECT gone, more FROM expire_sessions(?, ?::uuid, ?::uuid[], ?, ?)", before, only, pgdialect.Array(except), most, turnsAtOnce).Scan(ctx, &gone, &more)
		} else {
			err = r.db.NewRaw("SELECT n, n = ? FROM expire_usage(?, ?::uuid, ?::uuid[], ?) n", most, before, only, pgdialect.Array(except), most).Scan(ctx, &gone, &more)
		}
		return gone, more, r.failed(ctx, err)
	}
	old := r.old(model, age, rule).Column("org_id", key).Order(age).Limit(int64(most))
	if rule.Kind == retention.Sessions {
		var orgs, ids []string
		if err := old.Scan(ctx, &orgs, &ids); err != nil {
			return 0, false, r.failed(ctx, err)
		}
		keys := make([][]string, len(ids))
		for i := range ids {
			keys[i] = []string{orgs[i], ids[i]}
		}
		_, gone, err = r.clear(ctx, keys)
		return gone, err == nil && (len(keys) == most || gone < len(keys)), err
	}
	result, err := r.db.NewDelete().Model(model).Where("(org_id, ?) IN (?)", bun.Ident(key), old).Exec(ctx)
	if err != nil {
		return 0, false, r.failed(ctx, err)
	}
	n, err := result.RowsAffected()
	return int(n), int(n) == most, r.failed(ctx, err)
}

// turnsAtOnce is how many turns one transaction removes at most: a session may have
// any number.
const turnsAtOnce = 5000

// clear removes turns of sessions, which keys name by organisation and id, and those
// sessions that have none left.
func (r *Repositories) clear(ctx context.Context, keys [][]string) (turns, gone int, err error) {
	if len(keys) == 0 {
		return 0, 0, nil
	}
	some := r.db.NewSelect().Model((*messageRow)(nil)).Column("org_id", "session_id", "seq").Where("(org_id, session_id) IN (?)", bun.In(keys)).Limit(turnsAtOnce)
	result, err := r.db.NewDelete().Model((*messageRow)(nil)).Where("(org_id, session_id, seq) IN (?)", some).Exec(ctx)
	if err != nil {
		return 0, 0, r.failed(ctx, err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, 0, r.failed(ctx, err)
	}
	result, err = r.db.NewDelete().Model((*sessionRow)(nil)).Where("(s.org_id, s.id) IN (?)", bun.In(keys)).
		Where("NOT EXISTS (SELECT 1 FROM chat_messages m WHERE m.org_id = s.org_id AND m.session_id = s.id)").Exec(ctx)
	if err != nil {
		return 0, 0, r.failed(ctx, err)
	}
	empty, err := result.RowsAffected()
	return int(n), int(empty), r.failed(ctx, err)
}

func (r *Repositories) expiring(ctx context.Context, rule retention.Rule) (n int, err error) {
	if rule.Kind == retention.AgentHealth {
		return r.expiringChanges(ctx, rule.Before)
	}
	model, _, age, err := aged(rule.Kind)
	if err != nil {
		return 0, err
	}
	if r.shared() {
		only, except := means(rule)
		err = r.db.NewRaw("SELECT expiring(?, ?, ?::uuid, ?::uuid[])", string(rule.Kind), session.Moment(rule.Before), only, pgdialect.Array(except)).Scan(ctx, &n)
	} else {
		var all int64
		all, err = r.old(model, age, rule).Count(ctx)
		n = int(all)
	}
	return n, r.failed(ctx, err)
}

// erase removes rows of the scope's user, and takes the user out of others.
func (r *Repositories) erase(ctx context.Context, in tenancy.Scope, pseudonym tenancy.UserID, most int) (total int, err error) {
	if err := r.writing(ctx, in); err != nil {
		return 0, err
	}
	const whose = "org_id = ? AND user_id = ?"
	org, user := in.Org().UUID(), in.User().UUID()
	each := func(model any, key string, with func(keys any) error) error {
		var keys []string
		if err := r.db.NewSelect().Model(model).Column(key).Where(whose, org, user).Limit(int64(most)).Scan(ctx, &keys); err != nil || len(keys) == 0 {
			return err
		}
		total += len(keys)
		return with(bun.In(keys))
	}
	var ids []string
	err = r.db.NewSelect().Model((*sessionRow)(nil)).Column("id").Where(whose, org, user).Limit(int64(most)).Scan(ctx, &ids)
	if err == nil {
		keys := make([][]string, len(ids))
		for i, id := range ids {
			keys[i] = []string{org, id}
		}
		var turns, gone int
		turns, gone, err = r.clear(ctx, keys)
		total += turns + gone
	}
	if err == nil {
		err = each((*idempotencyRow)(nil), "key", func(keys any) error {
			_, err := r.db.NewDelete().Model((*idempotencyRow)(nil)).Where(whose+" AND key IN (?)", org, user, keys).Exec(ctx)
			return err
		})
	}
	if err == nil {
		err = each((*usageRow)(nil), "id", func(keys any) error {
			_, err := r.db.NewUpdate().Model((*usageRow)(nil)).Set("user_id = ?, request = ?, session_id = ?, key_id = NULL", pseudonym.UUID(), "", session.ID{}.UUID()).
				Where(whose+" AND id IN (?)", org, user, keys).Exec(ctx)
			return err
		})
	}
	if err == nil {
		err = r.unfund(ctx, org, user, pseudonym.UUID(), &total)
	}
	if err == nil {
		err = r.disown(ctx, org, user, pseudonym.UUID(), &total)
	}
	if err == nil {
		var n int
		n, err = r.uninvite(ctx, org, user, pseudonym.UUID(), most)
		if total += n; err == nil && n < most { // the member's address tells which are to go
			err = r.expel(ctx, org, user, &total)
		}
	}
	return total, r.failed(ctx, err)
}

// disown has jobs be about pseudonyms of their own, and asked for by the pseudonym; but
// one that is not done needs to know whom it is about.
func (r *Repositories) disown(ctx context.Context, org, user, pseudonym string, total *int) error {
	for _, q := range []*bun.UpdateQuery{
		r.db.NewUpdate().Model((*jobRow)(nil)).Set("user_id = other_id").Where("org_id = ? AND user_id = ? AND finished_at IS NOT NULL", org, user),
		r.db.NewUpdate().Model((*jobRow)(nil)).Set("asked_by = ?", pseudonym).Where("org_id = ? AND asked_by = ?", org, user),
	} {
		result, err := q.Exec(ctx)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		*total += int(n)
	}
	return nil
}

// expel removes the membership, with its keys, and the user, unless another
// organisation has them as a member.
func (r *Repositories) expel(ctx context.Context, org, user string, total *int) error {
	left, err := r.db.NewDelete().Model((*memberRow)(nil)).Where("org_id = ? AND user_id = ?", org, user).Exec(ctx)
	if err != nil {
		return err
	}
	gone, err := r.forget(ctx, user)
	if err != nil {
		return err
	}
	n, err := left.RowsAffected()
	*total += int(n) + gone
	return err
}

// forget removes a user who is no member anywhere; it counts one, or none.
func (r *Repositories) forget(ctx context.Context, user string) (gone int, err error) {
	if r.shared() { // others' memberships cannot be seen
		return gone, r.db.NewRaw("SELECT forget_user(?)", user).Scan(ctx, &gone)
	}
	result, err := r.db.NewDelete().Model((*userRow)(nil)).Where("id = ? AND NOT EXISTS (SELECT 1 FROM memberships WHERE user_id = ?)", user, user).Exec(ctx)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// lease gives the lease to holder, where it is free; it counts one, or none.
func (r *Repositories) lease(ctx context.Context, name, holder string, at time.Time, keep time.Duration) (int, error) {
	now := bun.SafeQuery("?", session.Moment(at))
	until := bun.SafeQuery("?", session.Moment(at.Add(keep)))
	if r.shared() { // the clocks of servers differ; the database's is one
		now, until = bun.SafeQuery("clock_timestamp()"), bun.SafeQuery("clock_timestamp() + ? * interval '1 ms'", keep.Milliseconds())
	}
	// Nobody has a lease for longer than it is given for, unless the clock was set back.
	var has []string
	err := r.db.NewRaw("INSERT INTO leases (name, holder, until) VALUES (?, ?, ?) ON CONFLICT (name) "+
		"DO UPDATE SET holder = CASE WHEN leases.until < ? THEN EXCLUDED.holder ELSE leases.holder END, until = EXCLUDED.until "+
		"WHERE leases.holder = EXCLUDED.holder OR leases.until < ? OR leases.until > EXCLUDED.until AND EXCLUDED.until > ? RETURNING holder",
		name, holder, until, now, now, now).Scan(ctx, &has)
	if err != nil && !noRows(err) {
		return 0, r.failed(ctx, err)
	}
	if len(has) == 0 || has[0] != holder {
		return 0, nil
	}
	return 1, nil
}
