package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/migrations"
)

// A session that an older build wrote is listed, found and changed like any.
func TestAnOlderBuildsSessionsGoOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := start(t, path)
	v := session.New(session.NewID(time.Now(), [10]byte{1}), scope(), session.Key{Source: "header", Value: "k"}, time.Now())
	v.Title = "From Before"
	if err := s.Sessions().Create(t.Context(), scope(), v); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for {
		step, err := migrations.Down(t.Context(), db, migrations.SQLite)
		if err != nil || step == nil {
			t.Fatalf("took back %v, %v", step, err)
		}
		if step.Version == 2 {
			break
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, path)
	defer func() {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	list := func(f session.Filter) int {
		p, err := s.Sessions().List(t.Context(), scope(), f, page.Query{Limit: 9})
		if err != nil {
			t.Fatal(err)
		}
		return len(p.Items)
	}
	if list(session.Filter{Status: session.Open, Title: "from b"}) != 1 || list(session.Filter{Status: session.Archived}) != 0 {
		t.Error("it is not found as it is")
	}
	if err := s.Sessions().Update(t.Context(), scope(), v.ID, func(v *session.Session) error {
		v.Archived = true
		return v.Expect([]int{1})
	}); err != nil {
		t.Error(err)
	}
	if list(session.Filter{Status: session.Archived, Title: "BEFORE"}) != 1 {
		t.Error("it is not found as it has become")
	}
}
