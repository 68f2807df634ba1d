package bunstore

import "strings"

// What inserts begin and end with.
const (
	IntoKeys = `INSERT INTO "idempotency"`
	Unless   = " ON CONFLICT DO NOTHING" // a row that is there already
)

// Rows takes an insert apart that a repository has made, so that its rows can go
// with those of others: head and tail are the same for all that may. ok is false
// for any other statement.
func Rows(text string) (head, rows, tail string, ok bool) {
	const values = ") VALUES ("
	if !strings.HasPrefix(text, `INSERT INTO "`) {
		return "", "", "", false
	}
	// Before the first of these stand names only; a value cannot end the text but by
	// a bracket.
	i := strings.Index(text, values)
	if i < 0 {
		return "", "", "", false
	}
	i += len(values) - 1
	head, rows = text[:i], text[i:]
	if rest, cut := strings.CutSuffix(rows, Unless); cut {
		rows, tail = rest, Unless
	}
	return head, rows, tail, strings.HasSuffix(rows, ")")
}
