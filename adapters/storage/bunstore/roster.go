package bunstore

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"agentapi/domain/fault"
	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Roster is what identity providers say.
func (r *Repositories) Roster() ports.Roster { return rosters{directory{r}} }

type rosters struct{ directory }

// Each is a member: what the membership says is read along.
const andMembership = "JOIN memberships AS mb ON mb.org_id = p.org_id AND mb.user_id = p.user_id"

// taken turns a conflict of the database's into the fault of a name that is taken.
func (r rosters) taken(ctx context.Context, err error, what string) error {
	if err = r.failed(ctx, err); fault.Is(err, fault.Conflict) {
		return roster.Taken(what).WithCause(err)
	}
	return err
}

// bounded bounds a query to a realm by its alias, and names the tenant.
func (r rosters) bounded(ctx context.Context, in tenancy.Realm, q *bun.SelectQuery) (*bun.SelectQuery, error) {
	return q.Where("?TableAlias.org_id = ?", in.Org().UUID()), r.inside(ctx, in.Org())
}

// found reads some of the rows that a query chooses, in the order of their ids, and
// makes of each what is asked for.
func found[R, V any](ctx context.Context, r rosters, q *bun.SelectQuery, rows *[]R, order string, skip, most int, made func(*R) (*V, error)) (out []*V, total int, err error) {
	if total, err = count(ctx, q); err != nil || most < 1 || skip >= total {
		return nil, total, r.failed(ctx, err)
	}
	if err := q.OrderExpr(order).Limit(int64(most)).Offset(int64(skip)).Scan(ctx); err != nil {
		return nil, 0, r.failed(ctx, err)
	}
	for i := range *rows {
		v, err := made(&(*rows)[i])
		if err != nil {
			return nil, 0, err
		}
		out = append(out, v)
	}
	return out, total, nil
}

func count(ctx context.Context, q *bun.SelectQuery) (int, error) {
	n, err := q.Count(ctx)
	return int(n), err
}

func (r rosters) people(rows any) *bun.SelectQuery {
	return r.db.NewSelect().Model(rows).ColumnExpr("p.*, mb.status AS status, mb.version AS membership").Join(andMembership)
}

// AddPerson stores somebody.
func (r rosters) AddPerson(ctx context.Context, in tenancy.Realm, p *roster.Person) error {
	if err := r.managing(ctx, in); err != nil {
		return err
	}
	if p.Org != in.Org() {
		return fault.New(fault.Forbidden, "A person belongs to their own organisation.")
	}
	if _, err := r.Member(ctx, in, p.User); err != nil {
		return err
	}
	row := rowOfPerson(p)
	row.Version = 1
	_, err := r.db.NewInsert().Model(row).Returning(nothing).Exec(ctx)
	return r.taken(ctx, err, "userName")
}

// Person gives somebody.
func (r rosters) Person(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (*roster.Person, error) {
	if in.IsZero() {
		return nil, roster.NoPerson()
	}
	var row personRow
	q, err := r.bounded(ctx, in, r.people(&row).Where("p.user_id = ?", user.UUID()))
	if err != nil {
		return nil, err
	}
	if r.locks {
		q = q.For("UPDATE")
	}
	if err := q.Scan(ctx); noRows(err) {
		return nil, roster.NoPerson()
	} else if err != nil {
		return nil, r.failed(ctx, err)
	}
	return row.person()
}

// People gives some of those whom the filter chooses.
func (r rosters) People(ctx context.Context, in tenancy.Realm, f roster.Filter, skip, most int) ([]*roster.Person, int, error) {
	if in.IsZero() {
		return nil, 0, nil
	}
	var rows []personRow
	q, err := r.bounded(ctx, in, r.people(&rows))
	if err != nil {
		return nil, 0, err
	}
	if f.User != nil {
		q = q.Where("p.user_id = ?", f.User.UUID())
	}
	if f.UserName != nil {
		q = q.Where("p.name_key = ?", roster.Fold(storable(*f.UserName)))
	}
	if f.External != nil {
		q = q.Where("p.external_id = ?", storable(*f.External))
	}
	if f.Email != nil {
		q = q.Where("p.email_key = ?", roster.Fold(storable(*f.Email)))
	}
	if f.Active != nil {
		q = q.Where("(mb.status = 'active') = ?", *f.Active)
	}
	return found(ctx, r, q, &rows, "p.user_id", skip, most, (*personRow).person)
}

// UpdatePerson changes somebody.
func (r rosters) UpdatePerson(ctx context.Context, in tenancy.Realm, user tenancy.UserID, change func(*roster.Person) error) error {
	if err := r.managing(ctx, in); err != nil {
		return err
	}
	old, err := r.Person(ctx, in, user)
	if err != nil {
		return err
	}
	p := *old
	if err := change(&p); err != nil {
		return err
	}
	p.Org, p.User, p.Version = old.Org, old.User, old.Version+1
	_, err = r.db.NewUpdate().Model(rowOfPerson(&p)).ExcludeColumn("created_at").WherePK().Exec(ctx)
	return r.taken(ctx, err, "userName")
}

// AddGroup stores a group.
func (r rosters) AddGroup(ctx context.Context, in tenancy.Realm, g *roster.Group) error {
	if err := r.managing(ctx, in); err != nil {
		return err
	}
	if g.Org != in.Org() {
		return fault.New(fault.Forbidden, "A group belongs to its own organisation.")
	}
	row := rowOfGroup(g)
	row.Version = 1
	_, err := r.db.NewInsert().Model(row).Returning(nothing).Exec(ctx)
	return r.taken(ctx, err, "displayName")
}

// Group gives a group.
func (r rosters) Group(ctx context.Context, in tenancy.Realm, id roster.GroupID) (*roster.Group, error) {
	if in.IsZero() {
		return nil, roster.NoGroup()
	}
	if err := r.inside(ctx, in.Org()); err != nil {
		return nil, err
	}
	row, err := first[groupRow](ctx, r.directory, true, roster.NoGroup(), "org_id = ? AND id = ?", in.Org().UUID(), id.UUID())
	if err != nil {
		return nil, err
	}
	return row.group()
}

// Groups gives some of those that the filter chooses.
func (r rosters) Groups(ctx context.Context, in tenancy.Realm, f roster.GroupFilter, skip, most int) ([]*roster.Group, int, error) {
	if in.IsZero() {
		return nil, 0, nil
	}
	var rows []groupRow
	q, err := r.bounded(ctx, in, r.db.NewSelect().Model(&rows))
	if err != nil {
		return nil, 0, err
	}
	if f.ID != nil {
		q = q.Where("g.id = ?", f.ID.UUID())
	}
	if f.Name != nil {
		q = q.Where("g.name_key = ?", roster.Fold(storable(*f.Name)))
	}
	if f.External != nil {
		q = q.Where("g.external_id = ?", storable(*f.External))
	}
	if f.Member != nil {
		q = q.Where("EXISTS (SELECT 1 FROM scim_members e WHERE e.org_id = g.org_id AND e.group_id = g.id AND e.user_id = ?)", f.Member.UUID())
	}
	return found(ctx, r, q, &rows, "g.id", skip, most, (*groupRow).group)
}

// UpdateGroup changes a group.
func (r rosters) UpdateGroup(ctx context.Context, in tenancy.Realm, id roster.GroupID, change func(*roster.Group) error) error {
	if err := r.managing(ctx, in); err != nil {
		return err
	}
	old, err := r.Group(ctx, in, id)
	if err != nil {
		return err
	}
	g := *old
	if err := change(&g); err != nil {
		return err
	}
	g.Org, g.ID, g.Version = old.Org, old.ID, old.Version+1
	_, err = r.db.NewUpdate().Model(rowOfGroup(&g)).ExcludeColumn("created_at").WherePK().Exec(ctx)
	return r.taken(ctx, err, "displayName")
}

// RemoveGroup removes a group; who is in it goes along.
func (r rosters) RemoveGroup(ctx context.Context, in tenancy.Realm, id roster.GroupID) error {
	if err := r.managing(ctx, in); err != nil {
		return err
	}
	if _, err := r.Group(ctx, in, id); err != nil {
		return err
	}
	_, err := r.db.NewDelete().Model((*groupRow)(nil)).Where("org_id = ? AND id = ?", in.Org().UUID(), id.UUID()).Exec(ctx)
	return r.failed(ctx, err)
}

// atOnce is how many rows one statement names.
const atOnce = 500

// Enlist puts people into a group and takes others out.
func (r rosters) Enlist(ctx context.Context, in tenancy.Realm, id roster.GroupID, add, remove []tenancy.UserID) error {
	if err := r.managing(ctx, in); err != nil {
		return err
	}
	if _, err := r.Group(ctx, in, id); err != nil {
		return err
	}
	org, group := in.Org().UUID(), id.UUID()
	for some := range slices.Chunk(remove, atOnce) {
		_, err := r.db.NewDelete().Model((*enlistedRow)(nil)).Where("org_id = ? AND group_id = ? AND user_id IN (?)", org, group, bun.In(uuids(some))).Exec(ctx)
		if err != nil {
			return r.failed(ctx, err)
		}
	}
	for some := range slices.Chunk(add, atOnce) {
		names := slices.Compact(slices.Sorted(slices.Values(uuids(some))))
		n, err := count(ctx, r.db.NewSelect().Model((*personRow)(nil)).Where("org_id = ? AND user_id IN (?)", org, bun.In(names)))
		if err != nil {
			return r.failed(ctx, err)
		}
		if n != len(names) {
			return roster.NoPerson()
		}
		rows := make([]enlistedRow, len(names))
		for i, u := range names {
			rows[i] = enlistedRow{OrgID: org, GroupID: group, UserID: u}
		}
		if _, err := r.db.NewInsert().Model(&rows).On("CONFLICT DO NOTHING").Returning(nothing).Exec(ctx); err != nil {
			return r.failed(ctx, err)
		}
	}
	return nil
}

// users reads a column of users' ids.
func (r rosters) users(ctx context.Context, in tenancy.Realm, q *bun.SelectQuery) ([]tenancy.UserID, error) {
	if in.IsZero() {
		return nil, nil
	}
	q, err := r.bounded(ctx, in, q)
	if err != nil {
		return nil, err
	}
	var names []string
	if err := q.Column("user_id").Order("user_id").Scan(ctx, &names); err != nil {
		return nil, r.failed(ctx, err)
	}
	out := make([]tenancy.UserID, len(names))
	for i, n := range names {
		if out[i], err = tenancy.ParseUserID(n); err != nil {
			return nil, corrupt("person", err)
		}
	}
	return out, nil
}

// Enlisted gives who is in a group.
func (r rosters) Enlisted(ctx context.Context, in tenancy.Realm, id roster.GroupID) ([]tenancy.UserID, error) {
	return r.users(ctx, in, r.db.NewSelect().Model((*enlistedRow)(nil)).Where("group_id = ?", id.UUID()))
}

// Belongs gives the groups that somebody is in.
func (r rosters) Belongs(ctx context.Context, in tenancy.Realm, user tenancy.UserID) ([]*roster.Group, error) {
	if in.IsZero() {
		return nil, nil
	}
	var rows []groupRow
	q, err := r.bounded(ctx, in, r.db.NewSelect().Model(&rows).Join("JOIN scim_members AS e ON e.org_id = g.org_id AND e.group_id = g.id").Where("e.user_id = ?", user.UUID()))
	if err != nil {
		return nil, err
	}
	if err := q.OrderExpr("g.id").Scan(ctx); err != nil {
		return nil, r.failed(ctx, err)
	}
	out := make([]*roster.Group, len(rows))
	for i := range rows {
		if out[i], err = rows[i].group(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Owners gives the active owners.
func (r rosters) Owners(ctx context.Context, in tenancy.Realm) ([]tenancy.UserID, error) {
	q := r.db.NewSelect().Model((*memberRow)(nil)).Where("role = ? AND status = ?", string(tenancy.OrgOwner), string(tenancy.Active))
	if r.locks {
		q = q.For("UPDATE")
	}
	return r.users(ctx, in, q)
}
