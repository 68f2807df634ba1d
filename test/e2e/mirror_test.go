package e2e

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// The configured agents stand in the storage, without what is secret of them, and
// stay there, disabled, when the configuration has them no more.
func TestAgentsAreMirroredWithoutSecrets(t *testing.T) {
	t.Run("in SQLite", func(t *testing.T) {
		dir := t.TempDir()
		mirror(t, dir, []string{"AGENTAPI_DATA_DIR=" + dir}, func() *sql.DB { return file(t, filepath.Join(dir, "agentapi.db")) },
			"SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'",
			"SELECT count(*) FROM %[1]q WHERE instr(lower(CAST(%[2]q AS TEXT)), lower('%[3]s')) > 0")
	})
	t.Run("in Postgres", func(t *testing.T) {
		s := postgres.Shared(t)
		d, env := migrated(t, s)
		mirror(t, t.TempDir(), env, func() *sql.DB { return s.Look(t, d.Name) },
			"SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'agentapi'",
			"SELECT count(*) FROM agentapi.%[1]q WHERE strpos(lower(%[2]q::text), lower('%[3]s')) > 0")
	})
}

func mirror(t *testing.T, dir string, env []string, open func() *sql.DB, columns, search string) {
	const config = `agents:
  up:
    driver: openai
    models: [m-1, m-2]
    openai: {base_url: "http://127.0.0.1:9/v1", api_key: planted-api-key, headers: {X-Key: planted-header}}
  prog: {driver: exec, models: [p], exec: {command: [cat], env: {TOKEN: planted-environment}}}
`
	env = append(env, "AGENTAPI_CONFIG="+filepath.Join(dir, "agentapi.yaml"))
	run := func(config string, ready func(rows []listedAgent) bool, do ...string) (rows []listedAgent) {
		t.Helper()
		for range 50 { // until the first probes are stored
			s, err := kit.Launch(t, kit.Options{Dir: dir, Env: env, Config: config})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
			if do != nil {
				if out, code := agentapi(t, []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=boss-token"}, do...); code != 0 {
					t.Errorf("%v: %d, %s", do, code, out)
				}
			}
			if code, err := s.Stop(10 * time.Second); err != nil || code != 0 {
				t.Fatalf("%d, %v", code, err)
			}
			out, code := agentapi(t, env, "agents", "list", "--json")
			rows = nil
			if err := json.Unmarshal([]byte(out), &rows); err != nil || code != 0 {
				t.Fatalf("%d, %s", code, out)
			}
			if ready(rows) {
				break
			}
		}
		return rows
	}
	both := run(config, func(rows []listedAgent) bool {
		return len(rows) == 2 && rows[0].Status != "unknown" && rows[1].Status != "unknown"
	})
	if len(both) != 2 || both[0].Name != "prog" || both[0].Type != "exec" || both[1].Name != "up" || strings.Join(both[1].Models, " ") != "m-1 m-2" ||
		both[0].Status != "healthy" || both[1].Status != "degraded" || both[1].Error == "" || !both[1].Enabled {
		t.Errorf("stored are %+v", both)
	}
	if !strings.Contains(string(both[1].Config), "127.0.0.1:9") {
		t.Errorf("the configuration is not there: %s", both[1].Config)
	}
	one := run("agents: {up: {driver: demo, models: [echo]}}\n", func(rows []listedAgent) bool {
		return len(rows) == 2 && rows[1].Type == "demo" && rows[1].Status == "healthy"
	})
	if one[0].Enabled || !one[1].Enabled || strings.Join(one[1].Models, " ") != "echo" {
		t.Errorf("stored are %+v", one)
	}
	drained := run("agents: {up: {driver: demo, models: [echo]}}\nidentity: {chain: [dev], dev: {tokens: [{token: boss-token, org: o, user: u, role: platform_admin}]}}\n", func(rows []listedAgent) bool {
		return len(rows) == 2 && rows[1].Switch == "drained"
	}, "agents", "drain", "up")
	if len(drained) != 2 || drained[0].Switch != "on" || drained[1].Switch != "drained" {
		t.Errorf("once it is drained, stored are %+v", drained)
	}
	if out, code := agentapi(t, env, "agents", "list"); code != 0 || !strings.Contains(out, "CONFIGURED") || strings.Count(out, "\n") != 3 {
		t.Errorf("%d, %s", code, out)
	}
	for _, secret := range []string{"planted-api-key", "planted-header", "planted-environment"} {
		if n := found(t, open(), columns, search, secret); n != 0 {
			t.Errorf("%s stands in %d rows", secret, n)
		}
	}
}

// listedAgent is an agent as the command lists it.
type listedAgent struct {
	Name, Type string
	Enabled    bool
	Switch     string
	Models     []string
	Config     json.RawMessage
	Status     string
	Error      string `json:"error_message"`
}
