package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
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

// A member and an organisation that an older build wrote are found, too.
func TestAnOlderBuildsDirectoryIsSearched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := start(t, path)
	org := tenancy.Org{ID: scope().Org(), Issuer: "i", Name: "o", Title: "From Before", Status: tenancy.Active, Version: 1}
	user := tenancy.User{ID: scope().User(), Issuer: "i", Subject: "s", Status: tenancy.Active, Version: 1}
	member := tenancy.Member{Org: org.ID, User: user.ID, Name: "Ann", Email: "Ann@Example.com", Role: tenancy.OrgMember, Status: tenancy.Active, Version: 1}
	if err := s.Directory().Enrol(t.Context(), tenancy.Standing{Org: &org, User: &user, Member: &member}); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err == nil {
		_, err = db.Exec("UPDATE orgs SET folded = NULL; UPDATE memberships SET folded = NULL")
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, path)
	defer func() {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	orgs, err := s.Directory().Orgs(t.Context(), tenancy.OrgFilter{Text: "from b"}, page.Query{Limit: 9})
	if err != nil || len(orgs.Items) != 1 {
		t.Errorf("found are %+v, %v", orgs.Items, err)
	}
	members, err := s.Directory().Members(t.Context(), tenancy.RealmOf(org.ID), tenancy.MemberFilter{Text: "n@EX"}, page.Query{Limit: 9})
	if err != nil || len(members.Items) != 1 {
		t.Errorf("found are %+v, %v", members.Items, err)
	}
}
