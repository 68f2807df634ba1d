package bunstore

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// What a batch holds at most: so many rows, or a row more than so many bytes.
const (
	batchRows  = 500
	batchBytes = 2 << 20
)

// copied are the tables that a copy takes along, what is referred to first.
var copied = []interface {
	shares(ctx context.Context, r *Repositories) ([]share, error)
	copy(ctx context.Context, c *copying, org tenancy.OrgID) (Copied, error)
}{
	// Before usage, which charges them in the target, too.
	table[budgetRow]{
		name: "budgets", key: []string{"id"}, which: "true", weight: "version",
		at:   func(r *budgetRow) []any { return []any{r.ID} },
		size: func(*budgetRow) int { return 0 },
	},
	table[sessionRow]{
		name: "chat_sessions", key: []string{"id"}, which: "true", weight: "turns",
		at:   func(r *sessionRow) []any { return []any{r.ID} },
		size: func(r *sessionRow) int { return len(r.Title) + len(r.Native) },
	},
	table[messageRow]{
		name: "chat_messages", key: []string{"session_id", "seq"}, which: "true", weight: "seq",
		at: func(r *messageRow) []any { return []any{r.SessionID, r.Seq} },
		size: func(r *messageRow) int {
			if r.Content == nil {
				return len(r.Metadata)
			}
			return len(r.Metadata) + len(*r.Content)
		},
	},
	table[usageRow]{
		name: "usage", key: []string{"id"}, which: "true", weight: "prompt_tokens + completion_tokens",
		at:   func(r *usageRow) []any { return []any{r.ID} },
		size: func(r *usageRow) int { return len(r.Details) },
	},
	table[memberRow]{
		name: "memberships", key: []string{"user_id"}, which: "true", weight: "version",
		at:   func(r *memberRow) []any { return []any{r.UserID} },
		size: func(r *memberRow) int { return len(r.Name) + len(r.Email) },
	},
	table[keyRow]{
		name: "api_keys", key: []string{"id"}, which: "true", weight: "version",
		at:   func(r *keyRow) []any { return []any{r.ID} },
		size: func(r *keyRow) int { return len(r.Name) + len(r.Models) + len(r.Networks) },
	},
	table[invitationRow]{
		name: "invitations", key: []string{"id"}, which: "true", weight: "version",
		at:   func(r *invitationRow) []any { return []any{r.ID} },
		size: func(r *invitationRow) int { return len(r.Email) },
	},
	table[personRow]{
		name: "scim_users", key: []string{"user_id"}, which: "true", weight: "version",
		at:   func(r *personRow) []any { return []any{r.UserID} },
		size: func(r *personRow) int { return len(r.UserName) + len(r.Formatted) + len(r.Display) + len(r.Email) },
	},
	table[groupRow]{
		name: "scim_groups", key: []string{"id"}, which: "true", weight: "version",
		at:   func(r *groupRow) []any { return []any{r.ID} },
		size: func(r *groupRow) int { return len(r.External) + len(r.Name) },
	},
	table[enlistedRow]{
		name: "scim_members", key: []string{"group_id", "user_id"}, which: "true", weight: "0",
		at:   func(r *enlistedRow) []any { return []any{r.GroupID, r.UserID} },
		size: func(*enlistedRow) int { return 0 },
	},
	// What runs has an owner that is not there after the copy.
	table[idempotencyRow]{
		name: "idempotency", key: []string{"user_id", "key"}, which: "done", weight: "0",
		at: func(r *idempotencyRow) []any { return []any{r.UserID, r.Key} },
		size: func(r *idempotencyRow) int {
			if r.Result == nil {
				return 0
			}
			return len(*r.Result)
		},
	},
}

// table is how the rows R of one table are copied.
type table[R any] struct {
	name   string
	key    []string       // what follows the organisation in the primary key
	at     func(*R) []any // the values of key
	which  string         // the rows that are meant
	weight string         // what of each row adds up to the same on both sides
	size   func(*R) int   // about how many bytes a row has
}

// measure is how much there is, and which: the hashes of all keys in one, so that
// two databases with as much are not taken for the same.
type measure struct {
	rows, weight int64
	keys         [sha256.Size]byte
}

// shares gives the organisations that have rows, and how many.
func (t table[R]) shares(ctx context.Context, r *Repositories) ([]share, error) {
	var (
		orgs   []string
		counts []int64
	)
	err := r.db.NewSelect().Model((*R)(nil)).Column("org_id").ColumnExpr("count(*)").Where(t.which).
		Group("org_id").Order("org_id").Scan(ctx, &orgs, &counts)
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	out := make([]share, len(orgs))
	for i := range orgs {
		org, err := tenancy.ParseOrgID(orgs[i])
		if err != nil {
			return nil, corrupt("organisation", err)
		}
		out[i] = share{org, counts[i]}
	}
	return out, nil
}

// copy copies the organisation's rows that the target lacks.
func (t table[R]) copy(ctx context.Context, c *copying, org tenancy.OrgID) (Copied, error) {
	out := Copied{Table: t.name, Org: org}
	after, err := t.reached(ctx, c, org)
	for err == nil {
		var rows []*R
		err = c.from(ctx, func(ctx context.Context, r *Repositories) (err error) {
			rows, err = t.read(ctx, r, org, after)
			return err
		})
		if err != nil || len(rows) == 0 {
			break
		}
		var added int64
		err = c.to(ctx, func(ctx context.Context, r *Repositories) (err error) {
			added, err = t.write(ctx, r, org, rows)
			return err
		})
		if err == nil {
			out.Added += added
			after = t.at(rows[len(rows)-1])
			c.pass(t.name, int64(len(rows)), added)
		}
	}
	if err != nil {
		return out, taken(t.name, err)
	}
	had, err := t.measured(ctx, c.from, org, nil)
	if err != nil {
		return out, err
	}
	has, err := t.measured(ctx, c.to, org, nil)
	out.Rows, out.There, out.Same = had.rows, has.rows, had == has
	return out, err
}

// reached gives the key up to which an earlier copy came: the last that the
// target has, if what is there up to it is as much as the source has. Otherwise
// it is not what a copy has left, and all rows are offered.
func (t table[R]) reached(ctx context.Context, c *copying, org tenancy.OrgID) ([]any, error) {
	var last *R
	err := c.to(ctx, func(ctx context.Context, r *Repositories) error {
		if err := r.of(ctx, org); err != nil {
			return err
		}
		var rows []*R
		query := r.db.NewSelect().Model(&rows).Where("org_id = ?", org.UUID()).Where(t.which).
			OrderExpr("org_id DESC, " + strings.Join(t.key, " DESC, ") + " DESC").Limit(1)
		if err := query.Scan(ctx); err != nil {
			return r.failed(ctx, err)
		}
		last = nil
		if len(rows) == 1 {
			last = rows[0]
		}
		return nil
	})
	if err != nil || last == nil {
		return nil, err
	}
	key := t.at(last)
	has, err := t.measured(ctx, c.to, org, key)
	if err != nil {
		return nil, err
	}
	had, err := t.measured(ctx, c.from, org, key)
	if err != nil || had != has {
		return nil, err
	}
	c.pass(t.name, has.rows, 0)
	return key, nil
}

// tuple is the key in a comparison.
func (t table[R]) tuple() string { return "(" + strings.Join(t.key, ", ") + ")" }

func (t table[R]) holes() string { return "(?" + strings.Repeat(", ?", len(t.key)-1) + ")" }

// measured tells how much of the organisation's there is, up to a key if one is
// given.
func (t table[R]) measured(ctx context.Context, in Transaction, org tenancy.OrgID, upTo []any) (m measure, err error) {
	err = in(ctx, func(ctx context.Context, r *Repositories) error {
		if err := r.of(ctx, org); err != nil {
			return err
		}
		query := r.db.NewSelect().Model((*R)(nil)).ColumnExpr("count(*), coalesce(sum("+t.weight+"), 0)").
			Where("org_id = ?", org.UUID()).Where(t.which)
		if upTo != nil {
			query = query.Where(t.tuple()+" <= "+t.holes(), upTo...)
		}
		if err := query.Scan(ctx, &m.rows, &m.weight); err != nil {
			return r.failed(ctx, err)
		}
		m.keys, err = t.keys(ctx, r, org, upTo)
		return err
	})
	return m, err
}

// keys adds the keys up together, whatever order a database has them in.
func (t table[R]) keys(ctx context.Context, r *Repositories, org tenancy.OrgID, upTo []any) (sum [sha256.Size]byte, err error) {
	query := r.db.NewSelect().Model((*R)(nil)).Column(t.key...).Where("org_id = ?", org.UUID()).Where(t.which)
	if upTo != nil {
		query = query.Where(t.tuple()+" <= "+t.holes(), upTo...)
	}
	found, err := query.Rows(ctx)
	if err != nil {
		return sum, r.failed(ctx, err)
	}
	defer found.Close()
	for found.Next() {
		row := new(R)
		if err := query.DB().ScanRow(ctx, found, row); err != nil {
			return sum, r.failed(ctx, err)
		}
		one := sha256.Sum256(fmt.Appendf(nil, "%q", t.at(row)))
		for i := range sum {
			sum[i] ^= one[i]
		}
	}
	return sum, r.failed(ctx, found.Err())
}

// read gives the next rows after a key.
func (t table[R]) read(ctx context.Context, r *Repositories, org tenancy.OrgID, after []any) ([]*R, error) {
	if err := r.of(ctx, org); err != nil {
		return nil, err
	}
	query := r.db.NewSelect().Model((*R)(nil)).Where("org_id = ?", org.UUID()).Where(t.which).
		OrderExpr("org_id, " + strings.Join(t.key, ", ")).Limit(batchRows)
	if after != nil {
		query = query.Where(t.tuple()+" > "+t.holes(), after...)
	}
	found, err := query.Rows(ctx)
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	defer found.Close()
	var (
		rows []*R
		size int
	)
	for size < batchBytes && found.Next() {
		row := new(R)
		if err := query.DB().ScanRow(ctx, found, row); err != nil {
			return nil, r.failed(ctx, err)
		}
		rows = append(rows, row)
		size += t.size(row)
	}
	return rows, r.failed(ctx, found.Err())
}

// write stores the rows that are not there, and tells how many those were.
func (t table[R]) write(ctx context.Context, r *Repositories, org tenancy.OrgID, rows []*R) (int64, error) {
	if err := r.of(ctx, org); err != nil {
		return 0, err
	}
	result, err := r.db.NewInsert().Model(&rows).On("CONFLICT (org_id, " + strings.Join(t.key, ", ") + ") DO NOTHING").Returning(nothing).Exec(ctx)
	if err != nil {
		return 0, r.failed(ctx, err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, fault.Internalf("a copied row was not counted: %w", err)
	}
	return n, nil
}
