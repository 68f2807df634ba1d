package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"agentapi/test/kit"
	"agentapi/test/openapi"
)

// node runs a script of the folder node with OpenAI's SDK against a server.
func node(t *testing.T, name string, s *kit.Server, env ...string) {
	t.Helper()
	dir := kit.NPM(t, kit.NodeSDK)
	script, err := os.ReadFile(filepath.Join("node", name))
	if err != nil {
		t.Fatal(err)
	}
	// Node looks for packages beside the script.
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, script, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", file)
	cmd.Env = append(append(os.Environ(), "OPENAI_BASE_URL="+openapi.Proxy(t, s.URL)+"/v1"), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestTheNodeSDK runs node/journeys.mjs, which holds the same journeys for the
// SDK of Node.
func TestTheNodeSDK(t *testing.T) {
	kit.NPM(t, kit.NodeSDK)
	half := kit.NewUpstream(t, "half")
	s := kit.Start(t, kit.Options{Config: "storage: {driver: memory}\nagents:\n  demo: {driver: demo}\n  half: {driver: openai, models: [m], openai: {base_url: \"" + half.URL + "\"}}\n"})
	node(t, "journeys.mjs", s, "OPENAI_API_KEY="+kit.Token)
}

// TestTheNodeSDKAdministers runs node/admin.mjs in memory and on a file.
func TestTheNodeSDKAdministers(t *testing.T) {
	kit.NPM(t, kit.NodeSDK)
	const config = `identity:
  dev:
    tokens:
      - {token: token-of-owner, org: acme, user: owner, role: org_owner}
      - {token: token-of-reader, org: acme, user: reader}
      - {token: token-of-eve, org: evil, user: eve, role: org_owner}
      - {token: token-of-root, org: host, user: root, role: platform_admin}
`
	test := func(t *testing.T, o kit.Options) {
		s := kit.Start(t, o)
		ask := func(token, method, path, body string, want int) map[string]any {
			t.Helper()
			return object(t, s, token, method, path, body, want)
		}
		org := func(token string) string {
			return fmt.Sprint(ask(token, http.MethodGet, "/api/v1/me", "", http.StatusOK)["org_id"])
		}
		own, theirs := org("token-of-owner"), org("token-of-eve")
		for i := range 6 {
			ask("token-of-owner", http.MethodPost, "/api/v1/orgs/"+own+"/members",
				fmt.Sprintf(`{"issuer":"dev","subject":"member-%d","email":"member-%d@example.com"}`, i, i), http.StatusCreated)
		}
		ask("token-of-reader", http.MethodGet, "/api/v1/me", "", http.StatusOK)
		node(t, "admin.mjs", s, "OPENAI_ADMIN_KEY=token-of-owner", "READER_KEY=token-of-reader", "OTHER_KEY=token-of-eve", "PLATFORM_KEY=token-of-root", "ORG="+own, "OTHER_ORG="+theirs)
	}
	t.Run("in memory", func(t *testing.T) { test(t, kit.Options{Config: config + "storage: {driver: memory}\n"}) })
	t.Run("in SQLite", func(t *testing.T) { test(t, kit.Options{Config: config, Dir: t.TempDir()}) })
}

// object sends a request and gives the object of its answer.
func object(t *testing.T, s *kit.Server, token, method, path, body string, want int) (out map[string]any) {
	t.Helper()
	headers := []string{"Authorization", "Bearer " + token}
	if body != "" {
		headers = append(headers, "Content-Type", "application/json")
	}
	a, err := s.Do(t.Context(), method, path, body, headers...)
	if err == nil {
		err = json.Unmarshal([]byte(a.Body), &out)
	}
	if err != nil || a.Status != want {
		t.Fatalf("%d %s, %v", a.Status, a.Body, err)
	}
	return out
}

// consumption is what somebody's answers said that they cost.
type consumption struct {
	User     string  `json:"user"`
	Key      *string `json:"key"`
	Model    string  `json:"model"`
	Requests int     `json:"requests"`
	Input    float64 `json:"input"`
	Output   float64 `json:"output"`
}

// TestTheNodeSDKReads runs node/reports.mjs on all storages.
func TestTheNodeSDKReads(t *testing.T) {
	kit.NPM(t, kit.NodeSDK)
	const config = `identity:
  dev:
    tokens:
      - {token: token-of-owner, org: acme, user: owner, role: org_owner}
      - {token: token-of-reader, org: acme, user: reader}
      - {token: token-of-eve, org: evil, user: eve, role: org_owner}
`
	test := func(t *testing.T, o kit.Options) {
		s := kit.Start(t, o)
		id := func(token string) string {
			return fmt.Sprint(object(t, s, token, http.MethodGet, "/api/v1/me", "", http.StatusOK)["user_id"])
		}
		made := object(t, s, "token-of-owner", http.MethodPost, "/api/v1/me/api-keys", `{"name":"k"}`, http.StatusCreated)
		key := fmt.Sprint(made["id"])
		var report []consumption
		for _, c := range []struct {
			token, user string
			key         *string
			model, text string
			n           int
		}{
			{"token-of-reader", id("token-of-reader"), nil, "echo", "one two three", 3}, {"token-of-reader", id("token-of-reader"), nil, "story", "x", 1},
			{"token-of-owner", id("token-of-owner"), nil, "echo", "four", 2}, {fmt.Sprint(made["key"]), id("token-of-owner"), &key, "echo", "five six", 1},
		} {
			all := consumption{User: c.user, Key: c.key, Model: c.model, Requests: c.n}
			for range c.n {
				a := object(t, s, c.token, http.MethodPost, "/v1/chat/completions", fmt.Sprintf(`{"model":"demo/%s","messages":[{"role":"user","content":"%s"}]}`, c.model, c.text), http.StatusOK)
				used := a["usage"].(map[string]any)
				all.Input += used["prompt_tokens"].(float64)
				all.Output += used["completion_tokens"].(float64)
			}
			report = append(report, all)
		}
		text, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		node(t, "reports.mjs", s, "OPENAI_ADMIN_KEY=token-of-owner", "READER_KEY=token-of-reader", "OTHER_KEY=token-of-eve", "REPORT="+string(text))
	}
	t.Run("in memory", func(t *testing.T) { test(t, kit.Options{Config: config + "storage: {driver: memory}\n"}) })
	t.Run("in SQLite", func(t *testing.T) { test(t, kit.Options{Config: config, Dir: t.TempDir()}) })
}
