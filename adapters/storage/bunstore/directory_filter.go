package bunstore

import (
	"github.com/uptrace/bun"

	"agentapi/domain/id"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// bytewise has a column compared by its bytes, as SQLite does by itself.
func (d directory) bytewise() bun.Safe {
	if d.shared() {
		return ` COLLATE "C"`
	}
	return ""
}

// chosenOrgs narrows a query to the organisations that the filter chooses; what a
// title begins with and a name are found by indexes.
func (d directory) chosenOrgs(q *bun.SelectQuery, f *tenancy.OrgFilter) *bun.SelectQuery {
	if f.Status != "" {
		q = q.Where("status = ?", string(f.Status))
	}
	if f.Text != "" {
		const title = "coalesce(folded, lower(title))?"
		from, to := f.Prefix()
		q = q.Where("name = ? OR "+title+" >= ? AND "+title+" < ?", storable(f.Text), d.bytewise(), storable(from), d.bytewise(), storable(to))
	}
	return q
}

// chosenUsers narrows a query to the users that the filter chooses; what a subject
// begins with is found by an index.
func (d directory) chosenUsers(q *bun.SelectQuery, f *tenancy.UserFilter) *bun.SelectQuery {
	if f.Platform {
		q = q.Where("platform <> ''")
	}
	if f.Status != "" {
		q = q.Where("status = ?", string(f.Status))
	}
	if f.Text != "" {
		from, to := f.Prefix()
		q = q.Where("subject? >= ? AND subject? < ?", d.bytewise(), storable(from), d.bytewise(), storable(to))
	}
	return among(q, "id", f.IDs)
}

// chosenMembers narrows a query of an organisation's members to those that the filter
// chooses. The organisation bounds what is looked at.
func (d directory) chosenMembers(q *bun.SelectQuery, f *tenancy.MemberFilter) *bun.SelectQuery {
	if f.Roles != nil {
		q = q.Where("role IN (?)", bun.In(texts(f.Roles)))
	}
	if f.Status != "" {
		q = q.Where("status = ?", string(f.Status))
	}
	if f.Text != "" {
		q = q.Where(`coalesce(folded, lower(name || ? || email)) LIKE ? ESCAPE '~'`, "\n", "%"+wildcards.Replace(storable(f.Pattern()))+"%")
	}
	if f.Emails != nil {
		keys := []string{}
		for _, e := range f.Emails {
			keys = append(keys, storable(tenancy.FoldEmail(e)))
		}
		q = q.Where("lower(email?) IN (?)", d.bytewise(), bun.In(keys))
	}
	return among(q, "user_id", f.Users)
}

// chosenKeys narrows a query of an organisation's keys to those that the filter chooses.
func chosenKeys(q *bun.SelectQuery, f *tenancy.KeyFilter) *bun.SelectQuery {
	if !f.Owner.IsZero() {
		q = q.Where("user_id = ?", f.Owner.UUID())
	}
	if f.Roles != nil {
		q = q.Where("role IN (?)", bun.In(texts(f.Roles)))
	}
	if f.Kept {
		q = q.Where("revoked_at IS NULL")
	}
	return among(q, "id", f.IDs)
}

// chosenInvitations narrows a query of an organisation's invitations to those that
// the filter chooses.
func chosenInvitations(q *bun.SelectQuery, f *tenancy.InvitationFilter) *bun.SelectQuery {
	if f.Email != "" {
		q = q.Where("email_key = ?", storable(tenancy.FoldEmail(f.Email)))
	}
	if f.Status != nil {
		// What is pending at a moment depends on it; the rest does not.
		now := "CASE WHEN status = 'pending' AND expires_at <= ? THEN 'expired' ELSE status END"
		q = q.Where(now+" IN (?)", session.Moment(f.At), bun.In(texts(f.Status)))
	}
	return q
}

// among narrows a query to rows whose column is one of the ids; nil: all.
func among[K id.Kind](q *bun.SelectQuery, column string, ids []id.ID[K]) *bun.SelectQuery {
	if ids == nil {
		return q
	}
	these := make([]string, len(ids))
	for i, v := range ids {
		these[i] = v.UUID()
	}
	return q.Where("? IN (?)", bun.Ident(column), bun.In(these))
}

// texts are words as a database takes them.
func texts[S ~string](all []S) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = string(s)
	}
	return out
}
