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

func TestABackupOfPostgresIsRestored(t *testing.T) {
	server := postgres.Shared(t)
	from, env := migrated(t, server)
	data := t.TempDir()
	secrets := []string{"AGENTAPI_KEY_PEPPER=" + strings.Repeat("5c", 32)}
	s := kit.Start(t, kit.Options{Env: append(secrets, env...), Dir: data})
	check := remembered(t, s)

	// Row-level security binds the tables' owner, too: who backs up bypasses it.
	role := from.Name + "_backup"
	server.Admin(t, "postgres", fmt.Sprintf("CREATE ROLE %s LOGIN BYPASSRLS IN ROLE %s PASSWORD 'b'", role, from.Name))
	t.Cleanup(func() { server.Admin(t, "postgres", "DROP ROLE "+role) })
	u, err := url.Parse(from.Owner)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "b")
	dump := filepath.Join(t.TempDir(), "agentapi.sql")
	shell(t, []string{"BACKUP_URL=" + u.String(), "FILE=" + dump}, `pg_dump --schema agentapi --no-owner --no-privileges --dbname "$BACKUP_URL" --file "$FILE"`)
	if code, err := s.Stop(20 * time.Second); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}

	// Policies name the owner, who is therefore the same.
	name := from.Name + "_restored"
	server.Admin(t, "postgres", "CREATE DATABASE "+name+" OWNER "+from.Name)
	t.Cleanup(func() { server.Admin(t, "postgres", "DROP DATABASE "+name+" WITH (FORCE)") })
	to := *from
	to.Owner, to.App = strings.Replace(from.Owner, "/"+from.Name+"?", "/"+name+"?", 1), strings.Replace(from.App, "/"+from.Name+"?", "/"+name+"?", 1)
	shell(t, []string{"DIRECT_URL=" + to.Owner, "FILE=" + dump}, `psql --quiet --set ON_ERROR_STOP=1 --single-transaction --dbname "$DIRECT_URL" --file "$FILE"`)
	env = append(names(&to), secrets...)
	if out, code := agentapi(t, env, "migrate", "up"); code != 0 || !strings.Contains(out, "0 pending") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	check(t, kit.Start(t, kit.Options{Env: env}))
	unbroken(t, env)
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
