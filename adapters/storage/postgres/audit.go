package postgres

import (
	"strings"

	"agentapi/domain/audit"
)

// seals is how the statement begins that appends to the audit log.
const seals = "SELECT audit_append("

// sealing appends entries to the audit log in one statement: the database chains
// them, so that the head need not be fetched first.
func sealing(entries []audit.Entry) string {
	var orgs, heads, tails strings.Builder
	for i, e := range entries {
		if i > 0 {
			orgs.WriteByte(',')
			heads.WriteByte(',')
			tails.WriteByte(',')
		}
		if org := e.Org(); org.IsZero() {
			orgs.WriteString("NULL")
		} else {
			orgs.WriteString("'" + org.UUID() + "'")
		}
		head, tail := e.Parts()
		quote(&heads, head)
		quote(&tails, tail)
	}
	return seals + "ARRAY[" + orgs.String() + "]::uuid[], ARRAY[" + heads.String() + "], ARRAY[" + tails.String() + "])"
}

// quote writes a text as SQL does. There is no NUL in canonical bytes.
func quote(b *strings.Builder, text []byte) {
	b.WriteByte('\'')
	b.WriteString(strings.ReplaceAll(string(text), "'", "''"))
	b.WriteByte('\'')
}
