package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// remembered has a server keep a conversation and a key, and gives a check that
// another server has both, and an audit log that is whole.
func remembered(t *testing.T, s *kit.Server) (check func(t *testing.T, s *kit.Server)) {
	t.Helper()
	s.Chat(t, kit.Ask("demo/echo", "remember the blue heron"), "X-Session-Id", "kept")
	credential := fmt.Sprint(object(t, call(t, s, http.StatusCreated, http.MethodPost, "/api/v1/me/api-keys", `{"name":"kept"}`))["key"])
	return func(t *testing.T, s *kit.Server) {
		t.Helper()
		list, err := s.Do(t.Context(), http.MethodGet, "/api/v1/sessions", "", "Authorization", "Bearer "+credential)
		if err != nil || list.Status != http.StatusOK || !strings.Contains(list.Body, "sess_") {
			t.Fatalf("with the key: %v %d %s", err, list.Status, list.Body)
		}
		_, rest, _ := strings.Cut(list.Body, `"sess_`)
		id, _, _ := strings.Cut(rest, `"`)
		said, err := s.Do(t.Context(), http.MethodGet, "/api/v1/sessions/sess_"+id+"/messages", "")
		if err != nil || !strings.Contains(said.Body, "blue heron") {
			t.Errorf("the conversation is lost: %v %s", err, said.Body)
		}
	}
}

func unbroken(t *testing.T, env []string) {
	t.Helper()
	if out, code := agentapi(t, env, "audit", "verify"); code != 0 {
		t.Errorf("the audit log: exit code %d: %s", code, out)
	}
}

// backedUp is the backup of a database that a server has used, what that needs besides,
// and a check that another has all of it.
func backedUp(t *testing.T, server *postgres.Server) (from *postgres.Database, dump string, secrets []string, check func(*testing.T, *kit.Server)) {
	t.Helper()
	from, env := migrated(t, server)
	secrets = []string{"AGENTAPI_KEY_PEPPER=" + strings.Repeat("5c", 32)}
	s := kit.Start(t, kit.Options{Env: append(secrets, env...)})
	check = remembered(t, s)

	// Row-level security binds the tables' owner, too: who backs up bypasses it.
	role := from.Name + "_backup"
	server.Admin(t, "postgres", fmt.Sprintf("CREATE ROLE %s LOGIN BYPASSRLS IN ROLE %s PASSWORD 'b'", role, from.Name))
	t.Cleanup(func() { server.Admin(t, "postgres", "DROP ROLE "+role) })
	u, err := url.Parse(from.Owner)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "b")
	dump = filepath.Join(t.TempDir(), "agentapi.sql")
	shell(t, []string{"BACKUP_URL=" + u.String(), "FILE=" + dump}, `pg_dump --schema agentapi --no-owner --no-privileges --dbname "$BACKUP_URL" --file "$FILE"`)
	if code, err := s.Stop(20 * time.Second); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	return from, dump, secrets, check
}

// restore reads a backup into a database, as its owner.
func restore(t *testing.T, dump string, to *postgres.Database) {
	t.Helper()
	shell(t, []string{"DIRECT_URL=" + to.Owner, "FILE=" + dump}, `psql --quiet --set ON_ERROR_STOP=1 --single-transaction --dbname "$DIRECT_URL" --file "$FILE"`)
}

func TestABackupOfPostgresIsRestored(t *testing.T) {
	server := postgres.Shared(t)
	from, dump, secrets, check := backedUp(t, server)
	name := from.Name + "_restored"
	server.Admin(t, "postgres", "CREATE DATABASE "+name+" OWNER "+from.Name)
	t.Cleanup(func() { server.Admin(t, "postgres", "DROP DATABASE "+name+" WITH (FORCE)") })
	to := *from
	to.Owner, to.App = strings.Replace(from.Owner, "/"+from.Name+"?", "/"+name+"?", 1), strings.Replace(from.App, "/"+from.Name+"?", "/"+name+"?", 1)
	restore(t, dump, &to)
	env := append(names(&to), secrets...)
	if out, code := agentapi(t, env, "migrate", "up"); code != 0 || !strings.Contains(out, "0 pending") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	check(t, kit.Start(t, kit.Options{Env: env}))
	unbroken(t, env)
}

// In another place the owner is another, and the one whom the backup's policies name is
// not there.
func TestABackupOfPostgresIsRestoredUnderAnotherOwner(t *testing.T) {
	from, dump, secrets, check := backedUp(t, postgres.Shared(t))
	server := postgres.New(t)
	to := server.Fresh(t)
	server.Admin(t, "postgres", fmt.Sprintf("CREATE ROLE %s NOLOGIN", from.Name))
	restore(t, dump, to)
	if out, code := agentapi(t, names(to), "migrate", "up"); code != 0 || !strings.Contains(out, "policies to the tables' owner") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	env := append(names(to), secrets...)
	check(t, kit.Start(t, kit.Options{Env: env}))
	unbroken(t, env)
	server.Admin(t, "postgres", "DROP ROLE "+from.Name) // nothing depends on it any more
	if out, code := agentapi(t, names(to), "migrate", "up"); code != 0 || strings.Contains(out, "policies") {
		t.Errorf("exit code %d: %s", code, out)
	}
	// A server that would find no key says so, and does not serve.
	server.Admin(t, to.Name, "CREATE ROLE before NOLOGIN", "ALTER POLICY find ON agentapi.api_keys TO before")
	for _, command := range []string{"serve", "doctor"} {
		if out, code := agentapi(t, env, command); code != 4 || !strings.Contains(out, "1 of the policies") || !strings.Contains(out, "agentapi migrate up") {
			t.Errorf("%s: exit code %d: %s", command, code, out)
		}
	}
}

// The data folder is all that there is, with SQLite: file, keys and checkpoints.
func TestABackupOfTheDataFolderIsRestored(t *testing.T) {
	s := kit.Start(t, kit.Options{})
	check := remembered(t, s)
	if code, err := s.Stop(20 * time.Second); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "backup.tar")
	shell(t, []string{"FROM=" + s.Dir, "TO=" + archive}, `tar -C "$FROM" -cf "$TO" .`)
	restored := filepath.Join(dir, "restored")
	shell(t, []string{"FROM=" + archive, "TO=" + restored}, `mkdir -m 700 "$TO" && tar -C "$TO" -xpf "$FROM"`)
	again := kit.Start(t, kit.Options{Dir: restored})
	check(t, again)
	if code, err := again.Stop(20 * time.Second); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	unbroken(t, []string{"AGENTAPI_DATA_DIR=" + restored})
}

func shell(t *testing.T, env []string, line string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", line)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}
