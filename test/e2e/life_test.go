package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"database/sql"
	_ "modernc.org/sqlite" // to look into the file

	"agentapi/application/access"
	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// A user is erased. Afterwards no column of any table, whichever there are, holds
// what they said or a name of theirs, and what is others' is still there.
func TestOfAnErasedUserNothingIsLeft(t *testing.T) {
	t.Run("in SQLite", func(t *testing.T) {
		dir := t.TempDir()
		erase(t, dir, []string{"AGENTAPI_DATA_DIR=" + dir}, func() *sql.DB { return file(t, filepath.Join(dir, "agentapi.db")) },
			"SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'",
			"SELECT count(*) FROM %[1]q WHERE instr(lower(CAST(%[2]q AS TEXT)), lower('%[3]s')) > 0")
	})
	t.Run("in Postgres", func(t *testing.T) {
		s := postgres.Shared(t)
		d, env := migrated(t, s)
		erase(t, t.TempDir(), env, func() *sql.DB { return s.Look(t, d.Name) },
			"SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'agentapi'",
			"SELECT count(*) FROM agentapi.%[1]q WHERE strpos(lower(%[2]q::text), lower('%[3]s')) > 0")
	})
}

// personal has ann be recorded with an e-mail address, an address and a program.
func personal(t *testing.T, s *kit.Server) {
	t.Helper()
	boss, ann := []string{"Authorization", "Bearer token-of-boss"}, []string{"Authorization", "Bearer token-of-ann", "User-Agent", "canary-agent/1"}
	me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", boss...))
	call(t, s, 201, http.MethodPost, fmt.Sprintf("/api/v1/orgs/%v/members", me["org_id"]), `{"issuer":"dev","subject":"ann","email":"canary@example.com"}`, boss...)
	call(t, s, 201, http.MethodPost, "/api/v1/me/api-keys", `{"name":"k"}`, ann...)
}

func file(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func erase(t *testing.T, dir string, env []string, open func() *sql.DB, columns, search string) {
	o := kit.Options{Dir: dir, Env: env, Config: tenants + "      - {token: token-of-boss, org: acme, user: boss, role: org_admin}\nretention: {sessions: 30d, orgs: {dev/evil: {usage: 1d}}}\n"}
	s, err := kit.Launch(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	ann, bob := &tenant{token: "token-of-ann", canary: "canaryann"}, &tenant{token: "token-of-bob", canary: "canarybob"}
	personal(t, s)
	ann.settle(t, s)
	bob.settle(t, s)
	others := bob.own(t, s)
	if out, code := agentapi(t, append(env, "AGENTAPI_CONFIG="+filepath.Join(dir, "agentapi.yaml")), "data", "retain", "--dry-run"); code != 0 && !strings.Contains(out, "another") {
		t.Errorf("beside a server: %d, %s", code, out)
	}
	if code, err := s.Stop(10 * time.Second); err != nil || code != 0 {
		t.Fatalf("%d, %v", code, err)
	}
	env = append(env, "AGENTAPI_CONFIG="+filepath.Join(dir, "agentapi.yaml"))
	user, err := access.User("dev/ann")
	if err != nil {
		t.Fatal(err)
	}
	traces := append([]string{ann.canary, user.UUID(), user.String()}, ann.sessions...)
	traces = append([]string{"canary-agent", "canary@example.com", "127.0.0.1"}, traces...)
	for _, trace := range traces[:5] {
		if found(t, open(), columns, search, trace) == 0 {
			t.Fatal("the search finds nothing before, either")
		}
	}
	export := filepath.Join(t.TempDir(), "ann.jsonl")
	if out, code := agentapi(t, env, "data", "export", "--org", "dev/acme", "--user", "dev/ann", "--out", export); code != 0 || !strings.Contains(out, "exported 3 sessions, 6 messages, 3 usage records") {
		t.Errorf("%d, %s", code, out)
	}
	if text, err := os.ReadFile(export); err != nil || strings.Count(string(text), ann.canary) < 6 || strings.Count(string(text), `"kind":"personal"`) != 3 || strings.Contains(string(text), bob.canary) {
		t.Errorf("the export holds %s, %v", text, err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--org", "dev/acme", "--user", "dev/ann"}, 2, "--yes"},
		{[]string{"--org", "acme", "--user", "dev/ann", "--yes"}, 2, "dev/acme"},
		{[]string{"--org", "dev/acme", "--user", "dev/ann", "--yes"}, 0, "erased "},
		{[]string{"--org", "dev/acme", "--user", "dev/boss", "--yes"}, 0, "erased "}, // who came from the same address
		{[]string{"--org", "dev/acme", "--user", "dev/ann", "--yes"}, 1, "nothing is stored of this user"},
	} {
		if out, code := agentapi(t, env, append([]string{"data", "erase"}, c.args...)...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%v: %d, %s", c.args, code, out)
		}
	}
	for _, trace := range traces {
		if n := found(t, open(), columns, search, trace); n != 0 {
			t.Errorf("%s is left in %d rows", trace, n)
		}
	}
	log := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, args := range [][]string{{"verify"}, {"export", "--out", log}} {
		if out, code := agentapi(t, env, append([]string{"audit"}, args...)...); code != 0 {
			t.Errorf("audit %v: %d, %s", args, code, out)
		}
	}
	text, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(text), "data.erased") {
		t.Errorf("the erasure is not recorded: %v", err)
	}
	for _, trace := range append(traces, bob.canary) {
		if strings.Contains(string(text), trace) {
			t.Errorf("%s is left in the audit log", trace)
		}
	}
	for args, says := range map[string]string{"retain --dry-run": "would remove 0 sessions, 0 usage records", "retain": "removed 0 sessions"} {
		if out, code := agentapi(t, env, append([]string{"data"}, strings.Fields(args)...)...); code != 0 || !strings.Contains(out, says) {
			t.Errorf("%s: %d, %s", args, code, out)
		}
	}
	again := kit.Start(t, o)
	if bob.own(t, again) != others {
		t.Error("another's conversations have changed")
	}
	for _, id := range ann.sessions {
		if a, err := again.Do(t.Context(), http.MethodGet, "/api/v1/sessions/"+id, "", "Authorization", "Bearer "+ann.token); err != nil || a.Status != http.StatusNotFound {
			t.Errorf("%d, %v", a.Status, err)
		}
	}
}

// found counts the rows in which a text stands, in every column of every table.
func found(t *testing.T, db *sql.DB, columns, search, text string) (n int) {
	t.Helper()
	rows, err := db.Query(columns)
	if err != nil {
		t.Fatal(err)
	}
	var all [][2]string
	for rows.Next() {
		var c [2]string
		if err := rows.Scan(&c[0], &c[1]); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	rows.Close()
	if len(all) < 20 {
		t.Fatalf("there are %d columns", len(all))
	}
	for _, c := range all {
		var hits int
		if err := db.QueryRow(fmt.Sprintf(search, c[0], c[1], text)).Scan(&hits); err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		n += hits
	}
	return n
}
