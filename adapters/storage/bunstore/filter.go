package bunstore

import (
	"encoding/json"
	"strings"

	"github.com/uptrace/bun"

	"agentapi/domain/session"
)

// chosen narrows a query of a user's or an organisation's sessions to those that the
// filter chooses. The index of either bounds what is looked at.
func chosen(q *bun.SelectQuery, f *session.Filter) *bun.SelectQuery {
	if f.Status == session.Open || f.Status == session.Archived {
		q = q.Where("archived = ?", f.Status == session.Archived)
	}
	if f.Agent != "" {
		q = q.Where("agent = ?", storable(string(f.Agent)))
	}
	if f.Model != "" {
		q = q.Where("model = ?", storable(f.Model))
	}
	if !f.Since.IsZero() {
		q = q.Where("created_at >= ?", session.Moment(f.Since))
	}
	if !f.Until.IsZero() {
		q = q.Where("created_at < ?", session.Moment(f.Until))
	}
	if f.Title != "" {
		q = q.Where(`coalesce(title_folded, lower(title)) LIKE ? ESCAPE '~'`, "%"+wildcards.Replace(session.Folded(storable(f.Title)))+"%")
	}
	if !f.User.IsZero() {
		q = q.Where("user_id = ?", f.User.UUID())
	}
	return q
}

// wildcards takes their meaning from the characters that LIKE gives one.
var wildcards = strings.NewReplacer("~", "~~", "%", "~%", "_", "~_")

// pairs is a session's metadata as JSON.
func pairs(m map[string]string) string {
	if len(m) == 0 {
		return "{}"
	}
	clean := make(map[string]string, len(m))
	for k, v := range m {
		clean[storable(k)] = storable(v)
	}
	text, err := json.Marshal(clean)
	if err != nil {
		return "{}" // strings always encode
	}
	return string(text)
}
