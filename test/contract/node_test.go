package contract

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"agentapi/test/kit"
)

// TestTheNodeSDK runs node/journeys.mjs, which holds the same journeys for the
// SDK of Node.
func TestTheNodeSDK(t *testing.T) {
	dir := kit.NPM(t, kit.NodeSDK)
	script, err := os.ReadFile("node/journeys.mjs")
	if err != nil {
		t.Fatal(err)
	}
	// Node looks for packages beside the script.
	file := filepath.Join(dir, "journeys.mjs")
	if err := os.WriteFile(file, script, 0o644); err != nil {
		t.Fatal(err)
	}
	half := kit.NewUpstream(t, "half")
	s := kit.Start(t, kit.Options{Config: "storage: {driver: memory}\nagents:\n  demo: {driver: demo}\n  half: {driver: openai, models: [m], openai: {base_url: \"" + half.URL + "\"}}\n"})
	cmd := exec.CommandContext(t.Context(), "node", file)
	cmd.Env = append(os.Environ(), "OPENAI_BASE_URL="+s.URL+"/v1", "OPENAI_API_KEY="+kit.Token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
