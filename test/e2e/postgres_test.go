package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// agentapi runs the program and gives what it says and its exit code.
func agentapi(t testing.TB, env []string, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, kit.Binary(t), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "AGENTAPI_DATA_DIR=" + cmd.Dir, "AGENTAPI_PORT=0"}, env...)
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func names(d *postgres.Database) []string {
	return []string{"DATABASE_URL=" + d.App, "DIRECT_URL=" + d.Owner}
}

// migrated gives an up-to-date database and the environment that names it.
func migrated(t testing.TB, s *postgres.Server) (*postgres.Database, []string) {
	t.Helper()
	d := s.Fresh(t)
	if out, code := agentapi(t, names(d), "migrate", "up"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	return d, names(d)
}

func TestTheSchemaIsBroughtUpToDateByCommandOnly(t *testing.T) {
	d := postgres.Shared(t).Fresh(t)
	env := names(d)
	step := func(code int, wants []string, args ...string) {
		t.Helper()
		out, got := agentapi(t, env, args...)
		if got != code {
			t.Errorf("%v: exit code %d:\n%s", args, got, out)
		}
		for _, w := range wants {
			if !strings.Contains(out, w) {
				t.Errorf("%v: %q is not in:\n%s", args, w, out)
			}
		}
	}
	step(4, []string{"refuses the login", "agentapi migrate up"}, "serve")
	step(4, []string{"no schema agentapi", "agentapi migrate up"}, "migrate", "status")
	all := steps(t)
	last := numbered(t, all, len(all))
	done := fmt.Sprintf("database is at version %d (%d applied, 0 pending)", last, len(all))
	step(0, []string{"applied 0001_init.sql", "applied " + all[len(all)-1], "created the role " + d.Role, done}, "migrate", "up")
	step(0, []string{done}, "migrate", "up")
	step(0, []string{"VERSION", "0001_init.sql", "20"}, "migrate", "status")
	step(0, []string{`"version":1`, `"applied_at":"20`}, "migrate", "status", "--json")
	step(0, []string{"✓ storage", "! pepper", "AGENTAPI_KEY_PEPPER"}, "doctor")
	step(2, []string{"--yes"}, "migrate", "down")
	for i, name := range slices.Backward(all) {
		step(0, []string{"took back " + name, fmt.Sprintf("version %d (%d applied, %d pending)", numbered(t, all, i), i, len(all)-i)}, "migrate", "down", "--yes")
	}
	step(0, []string{"no step is applied"}, "migrate", "down", "--yes")
	step(0, []string{"pending 0001_init.sql"}, "migrate", "up", "--dry-run")
	step(4, []string{fmt.Sprintf("schema version 0; this build needs %d", last), "agentapi migrate up"}, "serve")
	step(4, []string{"✗ storage", "agentapi migrate up"}, "doctor")
	step(0, []string{"applied 0001_init.sql"}, "migrate", "up")
	postgres.Shared(t).Admin(t, d.Name, "UPDATE agentapi.schema_serves SET oldest = 99", "INSERT INTO agentapi.goose_db_version (version_id, is_applied) VALUES (99, true)")
	step(4, []string{fmt.Sprintf("schema version 99; this build knows %d at most", last), "newer build"}, "serve")
	if out, code := agentapi(t, nil, "migrate", "up"); code != 0 || !strings.Contains(out, "needs no migrations") {
		t.Errorf("with SQLite: %d, %s", code, out)
	}
	for _, name := range []string{"DATABASE_URL", "DIRECT_URL"} {
		out, code := agentapi(t, []string{"AGENTAPI_STORAGE__DRIVER=sqlite", name + "=" + d.Owner}, "migrate", "up")
		if code != 3 || !strings.Contains(out, name+" is set, but storage.driver is sqlite") || !strings.Contains(out, "→ set storage.driver to postgres, or unset "+name) {
			t.Errorf("with SQLite, where %s is set: %d, %s", name, code, out)
		}
	}
}

// numbered is the number of the schema after the first n steps.
func numbered(t *testing.T, all []string, n int) (number int) {
	t.Helper()
	if n == 0 {
		return 0
	}
	if _, err := fmt.Sscanf(all[n-1], "%d_", &number); err != nil {
		t.Fatalf("%s: %v", all[n-1], err)
	}
	return number
}

// steps are the names of the schema's steps, in order.
func steps(t *testing.T) (names []string) {
	t.Helper()
	all, err := os.ReadDir("../../migrations/postgres")
	if err != nil || len(all) == 0 {
		t.Fatalf("no steps: %v", err)
	}
	for _, f := range all {
		names = append(names, f.Name())
	}
	return names
}

func TestWhatSQLPrintsMakesTheSchema(t *testing.T) {
	s := postgres.Shared(t)
	d := s.Fresh(t)
	text, code := agentapi(t, names(d), "migrate", "sql")
	if code != 0 {
		t.Fatal(text)
	}
	s.Admin(t, d.Name, "CREATE ROLE "+d.Role+" LOGIN PASSWORD 'pass word/"+d.Role+"'", "SET ROLE "+d.Name+";"+text)
	if out, code := agentapi(t, names(d), "migrate", "up"); code != 0 || !strings.Contains(out, fmt.Sprintf("(%d applied, 0 pending)", len(steps(t)))) || strings.Contains(out, "applied 0001") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	kit.Start(t, kit.Options{Env: names(d)})
}

func TestANewStepIsWrittenForEachDialect(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"postgres", "sqlite"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, d, "0007_x.sql"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := agentapi(t, nil, "migrate", "new", "add_labels", "--dir", dir); code != 0 {
		t.Fatal(out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "0008_add_labels.sql"))
	if err != nil || !strings.Contains(string(text), "lock_timeout") {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "sqlite", "0008_add_labels.sql")); err != nil {
		t.Error(err)
	}
	if out, code := agentapi(t, nil, "migrate", "new", "../x", "--dir", dir); code != 2 {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestADatabaseThatIsNamedIsUsedOrStopsTheStart(t *testing.T) {
	s := postgres.Shared(t)
	d, env := migrated(t, s)
	for name, c := range map[string]struct {
		env   []string
		wants []string
	}{
		"the tables' owner":     {[]string{"DATABASE_URL=" + d.Owner}, []string{"owns the tables", "role of the server's own"}},
		"a wrong password":      {[]string{"DATABASE_URL=" + strings.Replace(d.App, "pass", "sap", 1)}, []string{"refuses the login of " + d.Role}},
		"a service-role key":    {[]string{"DATABASE_URL=" + strings.Replace(d.App, "pass%20word%2F"+d.Role, "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln", 1)}, []string{"service-role key is no database password"}},
		"no such database":      {[]string{"DATABASE_URL=" + strings.Replace(d.App, "/"+d.Name+"?", "/nowhere?", 1)}, []string{"no such database"}},
		"nobody there":          {[]string{"DATABASE_URL=postgres://u:p@127.0.0.1:1/x"}, []string{"Nothing listens at 127.0.0.1"}},
		"no address":            {[]string{"DATABASE_URL=secret-nonsense:%zz"}, []string{"cannot be read", "percent-encoded"}},
		"a project and its key": {[]string{"SUPABASE_URL=https://abc.supabase.co", "SUPABASE_SERVICE_ROLE_KEY=eyJa.b.c"}, []string{"service-role key is no database password", "SUPABASE_DB_PASSWORD"}},
		"a project alone":       {[]string{"SUPABASE_URL=https://abc.supabase.co"}, []string{"SUPABASE_DB_PASSWORD is not set"}},
	} {
		out, code := agentapi(t, c.env, "serve")
		if code != 4 && code != 3 {
			t.Errorf("%s: exit code %d:\n%s", name, code, out)
		}
		for _, w := range c.wants {
			if !strings.Contains(out, w) {
				t.Errorf("%s: %q is not in:\n%s", name, w, out)
			}
		}
		if strings.Contains(out, "pass word") || strings.Contains(out, "pass%20word") || strings.Contains(out, "eyJ") || strings.Contains(out, "secret-nonsense") {
			t.Errorf("%s: a secret shows in:\n%s", name, out)
		}
		if doctor, code := agentapi(t, c.env, "doctor"); code != 4 || !strings.Contains(doctor, c.wants[0]) {
			t.Errorf("%s: doctor says %d:\n%s", name, code, doctor)
		}
	}
	if out, code := agentapi(t, env, "config", "print"); code != 0 || strings.Contains(out, "pass%20word") {
		t.Errorf("exit code %d, or a password shows:\n%s", code, out)
	}
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(d.App+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := agentapi(t, []string{"DATABASE_URL_FILE=" + file}, "doctor"); code != 0 || !strings.Contains(out, "✓ storage            postgres") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestAConversationIsKeptInPostgres(t *testing.T) {
	_, env := migrated(t, postgres.Shared(t))
	first := kit.Start(t, kit.Options{Env: env})
	a := first.Chat(t, kit.Ask("demo/echo", "hello"), "Idempotency-Key", "k")
	if a.Status != http.StatusOK {
		t.Fatalf("got %d %s", a.Status, a.Body)
	}
	if code, err := first.Stop(10 * time.Second); err != nil || code != 0 {
		t.Fatalf("ended with %d, %v", code, err)
	}
	second := kit.Start(t, kit.Options{Env: env})
	again := second.Chat(t, kit.Ask("demo/echo", "hello"), "Idempotency-Key", "k")
	if again.Body != a.Body || again.Header.Get("Idempotent-Replayed") == "" {
		t.Errorf("the answer is not replayed: %s", again.Body)
	}
	got, err := second.Do(t.Context(), http.MethodGet, "/api/v1/sessions/"+a.Header.Get("X-Agentapi-Session-Id")+"/messages", "")
	var page struct{ Data []json.RawMessage }
	if err != nil || json.Unmarshal([]byte(got.Body), &page) != nil || len(page.Data) != 2 {
		t.Errorf("got %s, %v", got.Body, err)
	}
}
