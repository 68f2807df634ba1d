package bunstore

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Directory is who there is.
func (r *Repositories) Directory() ports.Directory { return directory{r} }

type directory struct{ *Repositories }

// inside names a realm's tenant to the database.
func (d directory) inside(ctx context.Context, org tenancy.OrgID) error {
	if d.enter == nil {
		return nil
	}
	return d.failed(ctx, d.enter(ctx, org))
}

// managing refuses writes to no organisation, and names the tenant.
func (d directory) managing(ctx context.Context, in tenancy.Realm) error {
	if in.IsZero() {
		return fault.New(fault.Forbidden, "This belongs to an organisation, and none is meant.")
	}
	return d.inside(ctx, in.Org())
}

// first reads the row that where finds; absent is the fault of none.
func first[R any](ctx context.Context, d directory, lock bool, absent error, where string, args ...any) (*R, error) {
	row := new(R)
	query := d.db.NewSelect().Model(row).Where(where, args...)
	if lock && d.locks {
		query = query.For("UPDATE")
	}
	err := query.Scan(ctx)
	if noRows(err) {
		return nil, absent
	}
	return row, d.failed(ctx, err)
}

// list reads a page of rows by the column by, and makes of each what is asked for.
func list[R any, K id.Kind, V any](ctx context.Context, d directory, by string, parse func(string) (id.ID[K], error), q page.Query,
	choose func(*bun.SelectQuery) *bun.SelectQuery, made func(*R) (*V, error),
) (out page.Of[*V], err error) {
	var rows []R
	find := func(cursor string) (any, error) {
		at, err := parse(cursor)
		if err != nil {
			return nil, badCursor(q)
		}
		return at.UUID(), nil
	}
	if out.More, err = cut(ctx, d.Repositories, choose(d.db.NewSelect().Model(&rows)), by, q, find, &rows); err != nil {
		return out, err
	}
	for i := range rows {
		v, err := made(&rows[i])
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, v)
	}
	return out, nil
}

// maybe leaves out what is not there.
func maybe[R, V any](row *R, err error, made func(*R) (*V, error)) (*V, error) {
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return made(row)
}

// Standing returns what is known of a user in an organisation.
func (d directory) Standing(ctx context.Context, org tenancy.OrgID, user tenancy.UserID) (s tenancy.Standing, err error) {
	if err := d.inside(ctx, org); err != nil {
		return s, err
	}
	o, err := first[orgRow](ctx, d, false, tenancy.NoOrg(), "id = ?", org.UUID())
	if s.Org, err = maybe(o, err, (*orgRow).org); err != nil {
		return s, err
	}
	u, err := first[userRow](ctx, d, false, tenancy.NoUser(), "id = ?", user.UUID())
	if s.User, err = maybe(u, err, (*userRow).user); err != nil {
		return s, err
	}
	m, err := first[memberRow](ctx, d, false, tenancy.NoMember(), "org_id = ? AND user_id = ?", org.UUID(), user.UUID())
	s.Member, err = maybe(m, err, (*memberRow).member)
	return s, err
}

// Enrol stores what is not there yet.
func (d directory) Enrol(ctx context.Context, s tenancy.Standing) error {
	var rows []any
	var org tenancy.OrgID
	if s.Org != nil {
		org = s.Org.ID
		rows = append(rows, rowOfOrg(s.Org))
	}
	if s.User != nil {
		rows = append(rows, rowOfUser(s.User))
	}
	if s.Member != nil {
		org = s.Member.Org
		rows = append(rows, rowOfMember(s.Member))
	}
	if err := d.inside(ctx, org); err != nil {
		return err
	}
	for _, row := range rows {
		if _, err := d.db.NewInsert().Model(row).On("CONFLICT DO NOTHING").Returning(nothing).Exec(ctx); err != nil {
			return d.failed(ctx, err)
		}
	}
	return nil
}

// Orgs returns a page of the organisations.
func (d directory) Orgs(ctx context.Context, f tenancy.OrgFilter, q page.Query) (page.Of[*tenancy.Org], error) {
	return list(ctx, d, "id", tenancy.ParseOrgID, q, func(s *bun.SelectQuery) *bun.SelectQuery { return d.chosenOrgs(s, &f) }, (*orgRow).org)
}

// Org returns an organisation.
func (d directory) Org(ctx context.Context, id tenancy.OrgID) (*tenancy.Org, error) {
	row, err := first[orgRow](ctx, d, true, tenancy.NoOrg(), "id = ?", id.UUID())
	if err != nil {
		return nil, err
	}
	return row.org()
}

// UpdateOrg stores what change makes of an organisation.
func (d directory) UpdateOrg(ctx context.Context, id tenancy.OrgID, change func(*tenancy.Org) error) error {
	old, err := d.Org(ctx, id)
	if err != nil {
		return err
	}
	o := *old
	if err := change(&o); err != nil {
		return err
	}
	o.ID, o.Version = old.ID, old.Version+1
	_, err = d.db.NewUpdate().Model(rowOfOrg(&o)).ExcludeColumn("issuer", "name", "created_at").WherePK().Exec(ctx)
	return d.failed(ctx, err)
}

// Users returns a page of the users.
func (d directory) Users(ctx context.Context, f tenancy.UserFilter, q page.Query) (page.Of[*tenancy.User], error) {
	return list(ctx, d, "id", tenancy.ParseUserID, q, func(s *bun.SelectQuery) *bun.SelectQuery { return d.chosenUsers(s, &f) }, (*userRow).user)
}

// UpdateUser stores what change makes of a user.
func (d directory) UpdateUser(ctx context.Context, id tenancy.UserID, change func(u *tenancy.User, others int) error) error {
	// All of them are locked, in one order, so that of two who go at once the second
	// sees that it is the last.
	var admins []userRow
	query := d.db.NewSelect().Model(&admins).Where("platform <> ''").Order("id")
	if d.locks {
		query = query.For("UPDATE")
	}
	if err := query.Scan(ctx); err != nil {
		return d.failed(ctx, err)
	}
	row, err := first[userRow](ctx, d, true, tenancy.NoUser(), "id = ?", id.UUID())
	if err != nil {
		return err
	}
	old, err := row.user()
	if err != nil {
		return err
	}
	others := 0
	for _, a := range admins {
		if a.ID != row.ID && a.Platform == string(tenancy.PlatformAdmin) && a.Status == string(tenancy.Active) {
			others++
		}
	}
	u := *old
	if err := change(&u, others); err != nil {
		return err
	}
	u.ID, u.Version = old.ID, old.Version+1
	_, err = d.db.NewUpdate().Model(rowOfUser(&u)).ExcludeColumn("issuer", "subject", "created_at").WherePK().Exec(ctx)
	return d.failed(ctx, err)
}

// Members returns a page of those who belong to the organisation.
func (d directory) Members(ctx context.Context, in tenancy.Realm, f tenancy.MemberFilter, q page.Query) (page.Of[*tenancy.Member], error) {
	if in.IsZero() {
		return page.Of[*tenancy.Member]{}, nil
	}
	if err := d.inside(ctx, in.Org()); err != nil {
		return page.Of[*tenancy.Member]{}, err
	}
	return list(ctx, d, "user_id", tenancy.ParseUserID, q, func(s *bun.SelectQuery) *bun.SelectQuery {
		return d.chosenMembers(s.Where("org_id = ?", in.Org().UUID()), &f)
	}, (*memberRow).member)
}

// Member returns one who belongs to the organisation.
func (d directory) Member(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (*tenancy.Member, error) {
	if in.IsZero() {
		return nil, tenancy.NoMember()
	}
	if err := d.inside(ctx, in.Org()); err != nil {
		return nil, err
	}
	row, err := first[memberRow](ctx, d, true, tenancy.NoMember(), "org_id = ? AND user_id = ?", in.Org().UUID(), user.UUID())
	if err != nil {
		return nil, err
	}
	return row.member()
}

// UpdateMember stores what change makes of a member.
func (d directory) UpdateMember(ctx context.Context, in tenancy.Realm, user tenancy.UserID, change func(*tenancy.Member) error) error {
	if err := d.managing(ctx, in); err != nil {
		return err
	}
	old, err := d.Member(ctx, in, user)
	if err != nil {
		return err
	}
	m := *old
	if err := change(&m); err != nil {
		return err
	}
	m.Org, m.User, m.Version = old.Org, old.User, old.Version+1
	_, err = d.db.NewUpdate().Model(rowOfMember(&m)).ExcludeColumn("created_at").WherePK().Exec(ctx)
	return d.failed(ctx, err)
}

// RemoveMember takes a user out of the organisation; the keys go along.
func (d directory) RemoveMember(ctx context.Context, in tenancy.Realm, user tenancy.UserID) error {
	if err := d.managing(ctx, in); err != nil {
		return err
	}
	if _, err := d.Member(ctx, in, user); err != nil {
		return err
	}
	_, err := d.db.NewDelete().Model((*memberRow)(nil)).Where("org_id = ? AND user_id = ?", in.Org().UUID(), user.UUID()).Exec(ctx)
	return d.failed(ctx, err)
}

// CreateKey stores a new key.
func (d directory) CreateKey(ctx context.Context, in tenancy.Realm, k *tenancy.APIKey) error {
	if err := d.managing(ctx, in); err != nil {
		return err
	}
	if k.Org != in.Org() {
		return fault.New(fault.Forbidden, "A key belongs to its own organisation.")
	}
	if _, err := d.Member(ctx, in, k.User); err != nil {
		return err
	}
	row := rowOfKey(k)
	row.Version = 1
	_, err := d.db.NewInsert().Model(row).Returning(nothing).Exec(ctx)
	return d.failed(ctx, err)
}

// FindKey returns a key of whatever organisation. Where tenants are kept apart,
// only this function reaches all, one at a time and by a name that says nothing.
func (d directory) FindKey(ctx context.Context, id tenancy.KeyID) (*tenancy.APIKey, error) {
	var row keyRow
	query := d.db.NewSelect().Model(&row)
	if d.shared() {
		query = query.ModelTableExpr("find_api_key(?) AS k", id.UUID())
	} else {
		query = query.Where("id = ?", id.UUID())
	}
	err := query.Scan(ctx)
	if noRows(err) {
		return nil, tenancy.NoKey()
	}
	if err != nil {
		return nil, d.failed(ctx, err)
	}
	return row.key()
}

// Keys returns a page of the organisation's keys.
func (d directory) Keys(ctx context.Context, in tenancy.Realm, f tenancy.KeyFilter, q page.Query) (page.Of[*tenancy.APIKey], error) {
	if in.IsZero() {
		return page.Of[*tenancy.APIKey]{}, nil
	}
	if err := d.inside(ctx, in.Org()); err != nil {
		return page.Of[*tenancy.APIKey]{}, err
	}
	return list(ctx, d, "id", tenancy.ParseKeyID, q, func(s *bun.SelectQuery) *bun.SelectQuery {
		return chosenKeys(s.Where("org_id = ?", in.Org().UUID()), &f)
	}, (*keyRow).key)
}

// Key returns a key of the organisation.
func (d directory) Key(ctx context.Context, in tenancy.Realm, id tenancy.KeyID) (*tenancy.APIKey, error) {
	if in.IsZero() {
		return nil, tenancy.NoKey()
	}
	if err := d.inside(ctx, in.Org()); err != nil {
		return nil, err
	}
	row, err := first[keyRow](ctx, d, true, tenancy.NoKey(), "org_id = ? AND id = ?", in.Org().UUID(), id.UUID())
	if err != nil {
		return nil, err
	}
	return row.key()
}

// TouchKey notes that a key was used.
func (d directory) TouchKey(ctx context.Context, in tenancy.Realm, id tenancy.KeyID, at time.Time) error {
	if err := d.managing(ctx, in); err != nil {
		return err
	}
	_, err := d.db.NewUpdate().Model((*keyRow)(nil)).Set("last_used_at = ?", session.Moment(at)).
		Where("org_id = ? AND id = ?", in.Org().UUID(), id.UUID()).Exec(ctx)
	return d.failed(ctx, err)
}

// UpdateKey stores what change makes of a key.
func (d directory) UpdateKey(ctx context.Context, in tenancy.Realm, id tenancy.KeyID, change func(*tenancy.APIKey) error) error {
	if err := d.managing(ctx, in); err != nil {
		return err
	}
	old, err := d.Key(ctx, in, id)
	if err != nil {
		return err
	}
	k := *old
	if err := change(&k); err != nil {
		return err
	}
	k.ID, k.Org, k.User, k.Version = old.ID, old.Org, old.User, old.Version+1
	_, err = d.db.NewUpdate().Model(rowOfKey(&k)).ExcludeColumn("created_at").WherePK().Exec(ctx)
	return d.failed(ctx, err)
}
