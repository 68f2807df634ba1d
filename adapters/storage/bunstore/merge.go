package bunstore

import "strings"

// What inserts begin and end with.
const (
	IntoKeys = `INSERT INTO "idempotency"`
	Unless   = " ON CONFLICT DO NOTHING" // a row that is there already
)

// What stands between what reservations have in common and their own.
const (
	reserved   = ", ARRAY["
	asReserved = "]::budget_reservation[])"
	held       = " AND id IN ("
)

// Rows takes a statement apart that a repository has made, and that says the same of
// some rows, so that they can go with those of others: head and tail are the same for
// all that may. ok is false for any other statement.
func Rows(text string) (head, rows, tail string, ok bool) {
	// Before the first of these stand names and ids only; a value cannot end the text but
	// by a bracket.
	switch {
	case strings.HasPrefix(text, `INSERT INTO "`):
		const values = ") VALUES "
		if head, rows, ok = strings.Cut(text, values); !ok {
			return "", "", "", false
		}
		head += values
		if rest, cut := strings.CutSuffix(rows, Unless); cut {
			rows, tail = rest, Unless
		}
		return head, rows, tail, strings.HasPrefix(rows, "(") && strings.HasSuffix(rows, ")")
	case strings.HasPrefix(text, Reserves):
		return between(text, reserved, asReserved)
	case strings.HasPrefix(text, Releases):
		return between(text, held, ")")
	default:
		return "", "", "", false
	}
}

// between takes a text apart by what its rows stand between.
func between(text, before, after string) (head, rows, tail string, ok bool) {
	head, rows, ok = strings.Cut(text, before)
	rows, ended := strings.CutSuffix(rows, after)
	return head + before, rows, after, ok && ended
}
