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

func TestThePageOnConfigurationIsTrue(t *testing.T) { runPage(t, "../../configs/README.md") }

// Each configuration that the page shows is good as it stands; where it is about routing,
// with the agents that it names.
func TestThePagesConfigurationsWork(t *testing.T) {
	page, err := os.ReadFile("../../configs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 10 {
		t.Fatalf("only %d configurations were found", len(blocks))
	}
	page, err = os.ReadFile("../../configs/deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	moved := regexp.MustCompile("(?s)```yaml\n([^`]*\nversion: 1\n.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(moved) == 0 {
		t.Fatal("where to come from is shown by no configuration")
	}
	for _, block := range append(blocks, moved...) {
		dir, text := t.TempDir(), "version: 1\n"+strings.Replace(block[1], "version: 1\n", "", 1)
		if strings.HasPrefix(block[1], "routing:") {
			text += "agents:\n"
			for _, name := range []string{"openai", "ccr", "up", "two"} {
				text += "  " + name + ": {driver: demo, models: ['*']}\n"
			}
		}
		file := filepath.Join(dir, "agentapi.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys := []string{"OPENAI_API_KEY=sk-test", "OPENROUTER_API_KEY=sk-test", "ANTHROPIC_API_KEY=sk-test", "AGENTAPI_DEV_TOKEN=sk-test"}
		if out, errs, code := command(t, dir, keys, "", "config", "validate", file); code != 0 {
			t.Errorf("exit %d: %s %s of\n%s", code, out, errs, text)
		}
	}
}

// What a page links to is there: files, and the headings of pages.
func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	heading, drop := regexp.MustCompile(`(?m)^#+ (.*)$`), regexp.MustCompile("[^a-z0-9 _-]")
	for _, from := range []string{"README.md", "configs/README.md", "adapters/README.md", "configs/deploy/README.md", "domain/audit/README.md", "test/README.md", "migrations/README.md", "adapters/http/scim/README.md", "bootstrap/agentapi/README.md", "domain/tenancy/README.md"} {
		text, err := os.ReadFile(filepath.Join("../..", from))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)\s]*)\)`).FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			path := filepath.Join("../..", filepath.Dir(from), file)
			if file == "" {
				path = filepath.Join("../..", from)
			}
			if anchor == "" {
				if _, err := os.Stat(path); err != nil {
					t.Errorf("%s links to %s", from, m[1])
				}
				continue
			}
			page, err := os.ReadFile(path)
			found := false
			for _, h := range heading.FindAllStringSubmatch(string(page), -1) {
				found = found || strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-") == anchor
			}
			if !found {
				t.Errorf("%s links to %s: %v", from, m[1], err)
			}
		}
	}
}

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
