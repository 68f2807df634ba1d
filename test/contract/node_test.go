package contract

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"agentapi/test/kit"
)

// nodeSDK is the pinned version of the openai package.
const nodeSDK = "openai@7.57.0"

// TestTheNodeSDK runs node/journeys.mjs, which holds the same journeys for the
// SDK of Node. It installs the SDK into the user's cache folder.
func TestTheNodeSDK(t *testing.T) {
	if os.Getenv("AGENTAPI_TEST_NODE") == "" {
		t.Skip("left out: the SDK for Node, which needs npm; the test command runs it (AGENTAPI_TEST_NODE=1)")
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is not installed; install it with: apt-get install nodejs npm", program)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "agentapi-test", nodeSDK)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "openai", "package.json")); err != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", nodeSDK).CombinedOutput(); err != nil {
			t.Fatalf("npm install %s: %v\n%s", nodeSDK, err, out)
		}
	}
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
