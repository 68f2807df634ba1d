package kit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The programs from npm that tests run, pinned. The user's cache folder keeps them.
const (
	CCR     = "@musistudio/claude-code-router@2.0.0"
	Droid   = "droid@0.215.0"
	NodeSDK = "openai@7.57.0"

	OIDCProvider = "oidc-provider@9.13.3"
	SCIM         = "scimmy@1.3.5"
)

// CCRProgram gives the real claude-code-router.
func CCRProgram(t testing.TB) string { return npmProgram(t, CCR, "ccr") }

// DroidProgram gives Factory's real CLI.
func DroidProgram(t testing.TB) string { return npmProgram(t, Droid, "droid") }

func npmProgram(t testing.TB, pkg, name string) string {
	t.Helper()
	return filepath.Join(NPM(t, pkg), "node_modules", ".bin", name)
}

// npmOnce is one installation at a time; package tests that run at once wait for
// each other by a lock on the folder.
var npmOnce sync.Mutex

// NPM gives a folder with a package of npm's, of just that version, which it
// installs if it is not there. Without the test command the test is left out.
func NPM(t testing.TB, pkg string) string {
	t.Helper()
	if os.Getenv("AGENTAPI_TEST_NODE") == "" {
		t.Skip("left out: " + pkg + ", which needs npm; the test command runs it (AGENTAPI_TEST_NODE=1)")
	}
	for _, p := range []string{"node", "npm"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed; install it with: apt-get install nodejs npm", p)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	npmOnce.Lock()
	defer npmOnce.Unlock()
	all := filepath.Join(cache, "agentapi-test")
	dir := filepath.Join(all, strings.ReplaceAll(pkg, "/", "+"))
	if err := install(all, dir, pkg); err != nil {
		t.Fatal(err)
	}
	return dir
}

// install puts a package into dir. What is half there is not taken for whole: it
// is installed beside and moved.
func install(all, dir, pkg string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(all, 0o755); err != nil {
		return err
	}
	made, err := os.MkdirTemp(all, "installing-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(made)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "install", "--prefix", made, "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact", pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install %s: %w\n%s", pkg, err, out)
	}
	if err := os.Rename(made, dir); err != nil {
		if _, there := os.Stat(dir); there == nil {
			return nil // another package's tests were faster
		}
		return err
	}
	return nil
}
