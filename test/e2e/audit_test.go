package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
)

// Somebody who has the database changes the log, in ways that its triggers cannot
// stop. The command says what it was and where, and ends with 5.
func TestTamperingWithTheDatabaseShows(t *testing.T) {
	for name, c := range map[string]struct {
		do   string
		says string
		at   uint64
	}{
		"nothing":      {"SELECT 1", "", 0},
		"an actor":     {"UPDATE audit SET actor = 'system' WHERE seq = 3", "columns", 3},
		"an entry":     {"UPDATE audit SET canon = replace(CAST(canon AS TEXT), 'chat.completed', 'server.stopped') WHERE seq = 3", "edited", 3},
		"a deletion":   {"DELETE FROM audit WHERE seq = 3", "deleted", 3},
		"the end":      {"DELETE FROM audit WHERE seq > 4", "truncated", 5},
		"all of it":    {"DELETE FROM audit", "truncated", 1},
		"a checkpoint": {"UPDATE audit_checkpoints SET note = replace(note, char(10) || 'time 1', char(10) || 'time 2') WHERE number = 1", "forged", 1},
		"checkpoints":  {"DELETE FROM audit_checkpoints WHERE number = 1; DELETE FROM audit WHERE seq > 4", "truncated", 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := kit.Launch(t, kit.Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 4 {
				if a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", fmt.Sprint(i))); err != nil || a.Status != http.StatusOK {
					t.Fatalf("%+v, %v", a, err)
				}
			}
			if code, err := s.Stop(10 * time.Second); err != nil || code != 0 {
				t.Fatalf("%d, %v", code, err)
			}
			db := file(t, filepath.Join(dir, "agentapi.db"))
			for _, statement := range strings.Split("DROP TRIGGER audit_not_changed; DROP TRIGGER audit_not_removed; DROP TRIGGER audit_checkpoints_not_changed; DROP TRIGGER audit_checkpoints_not_removed; "+c.do, ";") {
				if _, err := db.Exec(statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			db.Close()
			out, code := agentapi(t, []string{"AGENTAPI_DATA_DIR=" + dir}, "audit", "verify", "-o", "json")
			var found struct {
				OK      bool
				Entries int
				Finding struct {
					Kind  string
					First uint64
				}
			}
			line, _, _ := strings.Cut(out, "\n")
			if err := json.Unmarshal([]byte(line), &found); err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			if found.OK != (c.says == "") || (code == 5) == found.OK || found.Finding.Kind != c.says || found.Finding.First != c.at {
				t.Errorf("%d, %s", code, out)
			}
			if found.OK && found.Entries != 6 {
				t.Errorf("%d entries of a start, four answers and a stop", found.Entries)
			}
		})
	}
}

func TestWhatAPlatformAdminDoesElsewhereStandsInThatOrganisationsLog(t *testing.T) {
	t.Parallel()
	s := kit.Start(t, kit.Options{Config: staff + "    - {token: token-of-root, org: host, user: root, role: platform_admin}\nstorage: {driver: memory}\n"})
	me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
	base := "/api/v1/orgs/" + fmt.Sprint(me["org_id"])
	call(t, s, 200, http.MethodPatch, base, `{"name":"Acme & Sons"}`, as("root")...)
	call(t, s, 200, http.MethodPatch, base+"/members/"+fmt.Sprint(me["user_id"]), `{"status":"suspended"}`, as("root")...)
	call(t, s, 201, http.MethodPost, base+"/api-keys", `{"name":"ci","service":"builds"}`, as("root")...)
	call(t, s, 201, http.MethodPost, base+"/invites", `{"email":"new@example.com","role":"org_member"}`, as("root")...)
	log := call(t, s, 200, http.MethodGet, base+"/audit?limit=50", "", as("org_owner")...).Body
	for _, action := range []string{"org.changed", "member.changed", "api_key.created", "invitation.created"} {
		if !strings.Contains(log, `"`+action+`"`) {
			t.Errorf("%s does not stand in it: %s", action, log)
		}
	}
}

func TestNothingIsRecordedWhereTheAuditLogIsOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := kit.Launch(t, kit.Options{Dir: dir, Env: []string{"AUDIT_ENABLED=false"}})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", "hello")); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%+v, %v", a, err)
	}
	if code, err := s.Stop(10 * time.Second); err != nil || code != 0 {
		t.Fatalf("%d, %v", code, err)
	}
	if out, code := agentapi(t, []string{"AGENTAPI_DATA_DIR=" + dir}, "audit", "tail", "-o", "json"); code != 0 || out != "" {
		t.Errorf("%d, %s", code, out)
	}
	for _, name := range []string{"audit-key.pem", "audit-checkpoints"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}
