package contract

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"agentapi/test/kit"
)

// TestASCIMLibraryUnderstandsTheServer runs node/scim.mjs, for which a library of
// SCIM's is the judge.
func TestASCIMLibraryUnderstandsTheServer(t *testing.T) {
	dir := kit.NPM(t, kit.SCIM)
	script, err := os.ReadFile("node/scim.mjs")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "scim.mjs") // Node looks for packages beside the script
	if err := os.WriteFile(file, script, 0o644); err != nil {
		t.Fatal(err)
	}
	s := kit.Start(t, kit.Options{Config: "storage: {driver: memory}\n"})
	ask := func(method, path, body string) (out map[string]any) {
		a, err := s.Do(t.Context(), method, path, body)
		if err != nil || a.Status >= 300 || json.Unmarshal([]byte(a.Body), &out) != nil {
			t.Fatalf("%s: %d %s, %v", path, a.Status, a.Body, err)
		}
		return out
	}
	org := ask(http.MethodGet, "/api/v1/me", "")["org_id"].(string)
	key := ask(http.MethodPost, "/api/v1/orgs/"+org+"/api-keys", `{"name":"directory","service":"directory","scim":true}`)["key"].(string)
	cmd := exec.CommandContext(t.Context(), "node", file)
	cmd.Env = append(os.Environ(), "SCIM_URL="+s.URL+"/scim/v2", "SCIM_KEY="+key)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
