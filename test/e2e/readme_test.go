package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"agentapi/test/kit"
)

// Every block of a page that is marked console is run as it stands, with a server
// beside it, and its output compared; … stands for anything.
func TestTheFrontPageIsTrue(t *testing.T) { runPage(t, "../../README.md") }

func TestThePageOnProvisioningIsTrue(t *testing.T) { runPage(t, "../../adapters/http/scim/README.md") }

func runPage(t *testing.T, path string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := kit.Start(t, kit.Options{})
	bin := t.TempDir()
	if err := os.Symlink(kit.Binary(t), filepath.Join(bin, "agentapi")); err != nil {
		t.Fatal(err)
	}
	ran, dir := 0, t.TempDir()
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			line, want, _ := strings.Cut(step, "\n")
			cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
			cmd.Dir = dir
			cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "AGENTAPI_DATA_DIR=" + s.Dir, "AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=" + kit.Token}
			out, err := cmd.Output()
			pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", "(?s:.*)")
			if err != nil || !regexp.MustCompile("^"+pattern+"$").MatchString(strings.TrimSpace(string(out))) {
				t.Errorf("$ %s\ngave %s(%v)\nthe page says\n%s", line, out, err, want)
			}
			ran++
		}
	}
	if ran == 0 {
		t.Error("the page shows no command")
	}
}

// The configuration on the front page works as it stands.
func TestTheFrontPagesConfigurationWorks(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	yaml, _, _ := strings.Cut(rest, "```")
	dir := t.TempDir()
	file := filepath.Join(dir, "agentapi.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := command(t, dir, nil, "", "config", "validate", file); code != 0 {
		t.Errorf("exit %d: %s %s", code, out, errs)
	}
}
