package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"agentapi/adapters/storage/bunstore"
	server "agentapi/test/postgres"
)

// all is a row of all types.
type all struct {
	id, text, json string
	perhaps        *string
	n              int
	is             bool
	at             time.Time
}

func (a all) Values(to bunstore.Columns) {
	to.UUID(a.id)
	to.UUIDOrNull(a.perhaps)
	to.Text(a.text)
	to.TextOrNull(a.perhaps)
	to.JSON(a.json)
	to.Integer(a.n)
	to.Bigint(int64(a.n))
	to.Boolean(a.is)
	to.Time(a.at)
}

// Rows of all types are stored as they are, together.
func TestRowsAreReadAsTheyWereSent(t *testing.T) {
	t.Parallel()
	pg := server.Shared(t)
	d := pg.Fresh(t)
	s := start(t, migrated(t, d))
	pg.Admin(t, d.Name, "CREATE TABLE agentapi.everything (id uuid, perhaps uuid, text text, words text, json jsonb, n integer, big bigint, is_so boolean, at timestamptz)",
		"GRANT ALL ON agentapi.everything TO PUBLIC")
	id := "01234567-89ab-cdef-0123-456789abcdef"
	rows := []bunstore.Row{
		all{id: id, text: "it's $1, \\ and \"ü\"", json: `{"a": "\\n"}`, perhaps: &id, n: -1, is: true, at: time.Date(1999, 12, 31, 23, 59, 59, 999999000, time.UTC)},
		all{id: id, json: "null", n: 1<<31 - 1, at: time.Date(2026, 1, 1, 0, 0, 0, 1000, time.UTC)},
	}
	table := bunstore.Table{Name: "everything", Columns: "id, perhaps, text, words, json, n, big, is_so, at"}
	for _, row := range rows {
		err := s.apart(t.Context(), bulk, func(ctx context.Context, w *wire) error {
			return w.Insert(ctx, bunstore.Insert{Table: table, Rows: []bunstore.Row{row}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := s.apart(t.Context(), bulk, func(ctx context.Context, w *wire) error {
		return w.Insert(ctx, bunstore.Insert{Table: table, Rows: rows})
	})
	if err != nil {
		t.Fatal(err)
	}
	found, err := pg.Look(t, d.Name).Query("SELECT id, perhaps, text, words, json, n, big, is_so, at FROM agentapi.everything ORDER BY n, ctid")
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	var got []string
	for found.Next() {
		var (
			a              all
			perhaps, words sql.NullString
			big            int
		)
		if err := found.Scan(&a.id, &perhaps, &a.text, &words, &a.json, &a.n, &big, &a.is, &a.at); err != nil {
			t.Fatal(err)
		}
		if perhaps.Valid {
			a.perhaps = &perhaps.String
		}
		if perhaps != words || big != a.n {
			t.Errorf("got %v, %v, %v", perhaps, words, big)
		}
		got = append(got, said(a))
	}
	for i, row := range []int{0, 0, 1, 1} {
		if want := said(rows[row].(all)); i >= len(got) || got[i] != want {
			t.Errorf("%d: got %q, want %s", i, got, want)
		}
	}
}

func said(a all) string {
	perhaps := ""
	if a.perhaps != nil {
		perhaps = *a.perhaps
	}
	return fmt.Sprint(a.id, perhaps, a.text, a.json, a.n, a.is, a.at.UTC())
}

// A value that the database does not take is refused before it is sent with others.
func TestRowsThatTheDatabaseDoesNotTakeAreRefused(t *testing.T) {
	t.Parallel()
	id := "01234567-89ab-cdef-0123-456789abcdef"
	for name, row := range map[string]all{
		"a NUL": {id: id, text: "a\x00"}, "no UTF-8": {id: id, json: "\xff"}, "a number of more bits": {id: id, n: 1 << 31},
		"no id": {id: "x"}, "an id of other digits": {id: "01234567-89AB-cdef-0123-456789abcdeg"},
	} {
		if err := (&wire{}).Insert(t.Context(), bunstore.Insert{Rows: []bunstore.Row{row}}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
