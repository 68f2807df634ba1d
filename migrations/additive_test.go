package migrations

import (
	"regexp"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
)

// expanding is the first step of those that a release before may meet.
const expanding = 16

// takesAway finds what a build before would miss, or wait for.
var takesAway = []struct {
	what *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`\bDROP (TABLE|COLUMN|FUNCTION|TYPE|VIEW|POLICY|TRIGGER|INDEX|CONSTRAINT|SCHEMA)\b`), "takes something away"},
	{regexp.MustCompile(`\bRENAME\b`), "renames something"},
	{regexp.MustCompile(`\bALTER (COLUMN )?\w+ TYPE\b|\bSET NOT NULL\b|\bVACUUM FULL\b|\bCLUSTER\b|\bREINDEX\b`), "rewrites or reads a whole table under a lock"},
	{regexp.MustCompile(`\bTRUNCATE\b|\bLOCK TABLE\b`), "locks a table"},
}

// Each step only adds, so that the build before serves on: what it writes still fits,
// what it calls is still there, and what it waits for is short.
func TestStepsOnlyAdd(t *testing.T) {
	t.Parallel()
	for _, d := range []Dialect{SQLite, Postgres} {
		all, err := files.ReadDir(string(d))
		if err != nil {
			t.Fatal(err)
		}
		older := map[string]bool{} // the tables that were there before
		for _, f := range all {
			text, err := files.ReadFile(string(d) + "/" + f.Name())
			if err != nil {
				t.Fatal(err)
			}
			version, err := goose.NumericComponent(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			up, _, _ := strings.Cut(string(text), "-- +goose Down")
			if version >= expanding {
				for _, why := range breaks(up, older, d) {
					t.Errorf("%s/%s %s", d, f.Name(), why)
				}
			}
			for _, m := range creates.FindAllStringSubmatch(up, -1) {
				older[m[1]] = true
			}
		}
	}
}

var (
	comments = regexp.MustCompile(`--[^\n]*`)
	creates  = regexp.MustCompile(`(?i)\bCREATE TABLE (?:IF NOT EXISTS )?(\w+)`)
	columns  = regexp.MustCompile(`(?i)\bALTER TABLE (\w+)\s+ADD COLUMN ([^;]*)`)
	indexes  = regexp.MustCompile(`(?i)\bCREATE (UNIQUE )?INDEX (?:IF NOT EXISTS )?\w+ ON (\w+)`)
	bounded  = regexp.MustCompile(`(?i)SET LOCAL lock_timeout = '[12]s'`)
)

// breaks says what of a step a build before would not bear.
func breaks(up string, older map[string]bool, d Dialect) (why []string) {
	text := comments.ReplaceAllString(up, "")
	for _, b := range takesAway {
		if m := b.what.FindString(strings.ToUpper(text)); m != "" {
			why = append(why, b.why+": "+m)
		}
	}
	for _, m := range columns.FindAllStringSubmatch(text, -1) {
		if def := strings.ToUpper(m[2]); older[m[1]] && strings.Contains(def, "NOT NULL") && !strings.Contains(def, "DEFAULT") {
			why = append(why, "adds a column that a build before does not fill: "+m[0])
		}
	}
	for _, m := range indexes.FindAllStringSubmatch(text, -1) {
		if older[m[2]] {
			why = append(why, "reads all of a table that is in use: "+m[0])
		}
	}
	if d == Postgres && !bounded.MatchString(text) {
		why = append(why, "waits for locks for as long as it takes")
	}
	return why
}

func TestAStepThatTakesAwayIsFound(t *testing.T) {
	t.Parallel()
	older := map[string]bool{"usage": true}
	for _, step := range []string{
		"ALTER TABLE usage DROP COLUMN cost;", "DROP TABLE usage;", "ALTER TABLE usage RENAME COLUMN a TO b;", "ALTER TABLE usage ALTER COLUMN a TYPE text;",
		"ALTER TABLE usage ADD COLUMN a bigint NOT NULL;", "ALTER TABLE usage ALTER COLUMN a SET NOT NULL;", "CREATE INDEX x ON usage (a);", "LOCK TABLE usage;",
	} {
		if len(breaks("SET LOCAL lock_timeout = '2s';\n"+step, older, Postgres)) != 1 {
			t.Errorf("%s goes through", step)
		}
	}
	if len(breaks("ALTER TABLE usage ADD COLUMN a bigint;", older, Postgres)) != 1 {
		t.Error("a step that waits for ever goes through")
	}
	if why := breaks("SET LOCAL lock_timeout = '2s';\nALTER TABLE usage ADD COLUMN a bigint NOT NULL DEFAULT 0; CREATE TABLE b (c int NOT NULL); CREATE INDEX d ON b (c);", older, Postgres); len(why) != 0 {
		t.Error(why)
	}
}
