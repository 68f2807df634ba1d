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
	cmd.Env = append(append(os.Environ(), "OPENAI_BASE_URL="+s.URL+"/v1"), env...)
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
		ask := func(token, method, path, body string, want int) (out map[string]any) {
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
