package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// What an auditor asks of the log by the API. What is exported is whole, to both
// verifiers, and so is an organisation's own part alone.
func TestTheAuditLogIsVerifiedAndExportedByTheAPI(t *testing.T) {
	staffed(t, func(t *testing.T, s *kit.Server, _ func() *kit.Server) {
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))
		for i := range 120 { // more than a page
			for _, who := range []string{"victim", "eve"}[:1+i%2] {
				if a := s.Chat(t, kit.Ask("demo/echo", "canary"), as(who)...); a.Status != http.StatusOK {
					t.Fatal(a.Status, a.Body)
				}
			}
		}
		const log = "/api/v1/platform/audit/"
		marks := object(t, call(t, s, 200, http.MethodGet, log+"checkpoints?limit=1", "", as("platform_auditor")...))["data"].([]any)
		if mark := marks[0].(map[string]any); len(marks) != 1 || mark["number"] != 1.0 || !strings.HasPrefix(fmt.Sprint(mark["note"]), "agentapi-audit/") {
			t.Errorf("the first checkpoint is %v", marks)
		}
		if a := call(t, s, 200, http.MethodGet, log+"checkpoints?after=1000", "", as("platform_auditor")...); !strings.Contains(a.Body, `"data":[]`) {
			t.Errorf("behind all: %s", a.Body)
		}
		for _, query := range []string{"after=x", "before=1", "order=desc", "limit=0", "actor=x"} {
			call(t, s, 400, http.MethodGet, log+"checkpoints?"+query, "", as("platform_auditor")...)
		}

		verify := func(body string) map[string]any {
			return object(t, call(t, s, 200, http.MethodPost, log+"verify", body, as("platform_admin")...))
		}
		if v := verify(`{}`); v["ok"] != true || v["has_more"] != false || v["first"] != 1.0 || v["entries"].(float64) < 181 || v["checkpoints"].(float64) < 1 {
			t.Errorf("all of it: %v", v)
		}
		if v := verify(`{"after":7,"most":50}`); v["ok"] != true || v["has_more"] != true || v["entries"] != 50.0 || v["first"] != 8.0 || v["last"] != 57.0 {
			t.Errorf("a part: %v", v)
		}
		for body, code := range map[string]string{`{"after":"x"}`: "invalid_type", `{"most":0}`: "out_of_range", `{"most":200001}`: "out_of_range", `{"x":1}`: "unknown_parameter"} {
			if a := call(t, s, 400, http.MethodPost, log+"verify", body, as("platform_admin")...); !strings.Contains(a.Body, code) {
				t.Errorf("%s: %s", body, a.Body)
			}
		}
		call(t, s, 404, http.MethodPost, log+"verify", `{"after":1000000}`, as("platform_admin")...)
		state := object(t, call(t, s, 200, http.MethodGet, log+"verify", "", as("platform_auditor")...))
		if state["ok"] != true || !strings.HasPrefix(fmt.Sprint(state["key"]), "agentapi-audit/") {
			t.Errorf("the state is %v", state)
		}

		save := func(path, who string) string {
			t.Helper()
			a := call(t, s, 200, http.MethodGet, path, "", as(who)...)
			if kind := a.Header.Get("Content-Type"); kind != "application/x-ndjson" || strings.Contains(a.Body, "canary") {
				t.Errorf("%s is %s", path, kind)
			}
			file := filepath.Join(t.TempDir(), "audit.jsonl")
			if err := os.WriteFile(file, []byte(a.Body), 0o600); err != nil {
				t.Fatal(err)
			}
			return file
		}
		accepted(t, save(log+"export", "platform_auditor"), "")
		id := fmt.Sprint(me["org_id"])
		own := save("/api/v1/orgs/"+id+"/audit/export", "org_auditor")
		accepted(t, own, id)
		text, err := os.ReadFile(own)
		if err != nil || strings.Count(string(text), "chat.completed") != 120 || strings.Count(string(text), "audit.exported") < 1 {
			t.Errorf("the organisation's own has %d answers of 120, %v", strings.Count(string(text), "chat.completed"), err)
		}
		lines := strings.SplitAfter(string(text), "\n")
		if err := os.WriteFile(own, []byte(strings.Join(append(lines[:50:50], lines[51:]...), "")), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, v := range verifiers(t, own, id) {
			if out, err := exec.CommandContext(t.Context(), v[0], v[1:]...).CombinedOutput(); err == nil || !strings.Contains(string(out), "deleted") {
				t.Errorf("%v of a part without an entry: %s", v, out)
			}
		}
	})
}

// verifiers are the commands that verify an export, of an organisation's own where
// org is not empty.
func verifiers(t *testing.T, path, org string) [][]string {
	t.Helper()
	ours, theirs := []string{kit.Binary(t), "audit", "verify", "-o", "json", "--export", path}, []string{"python3", "../audit/verify.py", path}
	if org != "" {
		ours, theirs = append(ours, "--org", org), append(theirs, "--own")
	}
	return [][]string{ours, theirs}
}

func accepted(t *testing.T, path, org string) {
	t.Helper()
	for _, v := range verifiers(t, path, org) {
		if out, err := exec.CommandContext(t.Context(), v[0], v[1:]...).CombinedOutput(); err != nil || !strings.Contains(strings.ReplaceAll(string(out), " ", ""), `"ok":true`) {
			t.Errorf("%v: %s, %v", v, out, err)
		}
	}
}

// What is old leaves the log for the configured folder, and the log is whole as
// before, on the storages that outlive the server.
func TestTheAuditLogIsRetainedByCommand(t *testing.T) {
	retain := func(t *testing.T, dir string, env []string) {
		folder := filepath.Join(t.TempDir(), "archive")
		o := kit.Options{Dir: dir, Env: env, Config: staff + "audit: {retention: {after: 2s, folder: " + folder + "}}\n"}
		ask := func() {
			s, err := kit.Launch(t, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Kill)
			for _, who := range []string{"victim", "eve", "victim"} {
				if a := s.Chat(t, kit.Ask("demo/echo", "hello"), as(who)...); a.Status != http.StatusOK {
					t.Fatal(a.Body)
				}
			}
			if code, err := s.Stop(10 * time.Second); err != nil || code != 0 {
				t.Fatalf("%d, %v", code, err)
			}
		}
		env = append(env, "AGENTAPI_CONFIG="+filepath.Join(dir, "agentapi.yaml"))
		run := func(says string, args ...string) {
			t.Helper()
			if out, code := agentapi(t, env, append([]string{"audit"}, args...)...); code != 0 || !strings.Contains(out, says) {
				t.Errorf("%v: %d, %s", args, code, out)
			}
		}
		ask()
		time.Sleep(2100 * time.Millisecond)
		run("retired 4 entries, 1 to 4", "retain") // and then the stop, which is not the last any more
		run("whole", "verify")
		ask()
		run("whole", "verify")
		log := filepath.Join(t.TempDir(), "audit.jsonl")
		run("exported", "export", "--out", log)
		args := []string{"verify"}
		archives, err := filepath.Glob(filepath.Join(folder, "audit-*.jsonl"))
		if err != nil || len(archives) == 0 {
			t.Fatalf("%v, %v", archives, err)
		}
		for _, path := range append(archives, log) {
			args = append(args, "--export", path)
		}
		run(", 1 to ", args...)
		accepted(t, log, "")
	}
	t.Run("in SQLite", func(t *testing.T) {
		dir := t.TempDir()
		retain(t, dir, []string{"AGENTAPI_DATA_DIR=" + dir})
	})
	t.Run("in Postgres", func(t *testing.T) {
		dir := t.TempDir()
		_, env := migrated(t, postgres.Shared(t))
		retain(t, dir, append(env, "AGENTAPI_DATA_DIR="+dir))
	})
}

// An agent's program is in the log of whom it worked for, and what it was started
// with is not.
func TestAgentsProgramsAreRecorded(t *testing.T) {
	t.Parallel()
	s := kit.Start(t, kit.Options{Config: staff + fmt.Sprintf("storage: {driver: memory}\nagents:\n  fake: {driver: exec, models: [m], exec: {command: [%q, canary-argument]}}\n", kit.FakeAgent(t))})
	org := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as("victim")...))["org_id"])
	for prompt, status := range map[string]int{"hello": 200, "exit9": 502} {
		if a := s.Chat(t, kit.Ask("fake/m", prompt), as("victim")...); a.Status != status {
			t.Errorf("%s: %d %s", prompt, a.Status, a.Body)
		}
	}
	var a kit.Answer
	for range 100 { // an end is recorded behind its answer
		a = call(t, s, 200, http.MethodGet, "/api/v1/orgs/"+org+"/audit", "", as("org_auditor")...)
		if strings.Count(a.Body, `"action":"agent.exited"`) == 2 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	for text, n := range map[string]int{
		`"action":"agent.started"`: 2, `"action":"agent.exited"`: 2, `"state":"exit status 0"`: 1, `"state":"exit status 9"`: 1, `"driver":"exec"`: 4,
		`"argv_sha256":"`: 2, `"target":"program:`: 4, "canary-argument": 0, "fakeagent": 0,
	} {
		if got := strings.Count(a.Body, text); got != n {
			t.Errorf("%s is %d times, not %d, in %s", text, got, n, a.Body)
		}
	}
}

// A log that was changed while no server looked is found out by the first that does,
// which says so once, and wherever it is asked.
func TestAServerTellsThatItsLogWasChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start := func(every string) *kit.Server {
		s, err := kit.Launch(t, kit.Options{Dir: dir, Config: staff + "audit: {checkpoints: {every: " + every + "}}\n"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		return s
	}
	s := start("1h")
	if a := s.Chat(t, kit.Ask("demo/echo", "hello"), as("victim")...); a.Status != http.StatusOK {
		t.Fatal(a.Body)
	}
	if a, err := s.Do(t.Context(), http.MethodGet, "/status", ""); err != nil || !strings.Contains(a.Body, `"audit_ok":true`) {
		t.Errorf("before: %s, %v", a.Body, err)
	}
	if code, err := s.Stop(10 * time.Second); err != nil || code != 0 {
		t.Fatalf("%d, %v", code, err)
	}
	db := file(t, filepath.Join(dir, "agentapi.db"))
	for _, statement := range []string{"DROP TRIGGER audit_not_changed", "UPDATE audit SET actor = 'operator' WHERE seq = 2"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	db.Close()
	s = start("1s")
	for until := time.Now().Add(20 * time.Second); ; {
		a, err := s.Do(t.Context(), http.MethodGet, "/status", "")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(a.Body, `"audit_ok":false`) {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("it does not notice: %s", a.Body)
		}
		time.Sleep(100 * time.Millisecond)
	}
	for path, says := range map[string]string{"/readyz?verbose": "[-] audit log failed", "/health": `"audit":[{"componentType":"component","status":"fail"`} {
		if a, err := s.Do(t.Context(), http.MethodGet, path, ""); err != nil || a.Status != http.StatusOK || !strings.Contains(a.Body, says) {
			t.Errorf("%s: %d %s, %v", path, a.Status, a.Body, err)
		}
	}
	var state struct {
		OK    bool
		Whole struct {
			OK      bool
			Finding struct {
				Kind  string
				First int
			}
		}
	}
	a := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit/verify", "", as("platform_auditor")...)
	if err := json.Unmarshal([]byte(a.Body), &state); err != nil || state.OK || state.Whole.OK || state.Whole.Finding.Kind != "columns" || state.Whole.Finding.First != 2 {
		t.Errorf("%s, %v", a.Body, err)
	}
	a = call(t, s, 200, http.MethodPost, "/api/v1/platform/audit/verify", `{"most":3}`, as("platform_admin")...)
	if v := object(t, a); v["ok"] != false || v["finding"].(map[string]any)["kind"] != "columns" {
		t.Errorf("asked: %s", a.Body)
	}
	if _, err := s.Stop(10 * time.Second); err != nil { // which writes all of the log
		t.Fatal(err)
	}
	if n := strings.Count(s.Logs.String(), "the audit log is not what it was"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}
