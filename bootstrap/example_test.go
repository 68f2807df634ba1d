package bootstrap_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"agentapi/bootstrap"
	"agentapi/configs"
)

var comment = regexp.MustCompile(`(?m)^( *)# `)

func TestTheExampleIsValidWithAllThatItHasInComments(t *testing.T) {
	t.Parallel()
	head := regexp.MustCompile(`(?s)^.*\nversion: 1\n`).FindString(string(configs.Example()))
	body := comment.ReplaceAllString(string(configs.Example())[len(head):], "$1")
	for name, text := range map[string]string{"as it is": string(configs.Example()), "uncommented": "version: 1\n" + body} {
		file := filepath.Join(t.TempDir(), "agentapi.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, err := configs.Load(configs.Sources{Files: []string{file}, Drivers: bootstrap.DriverPaths(), Environ: []string{
			"DATABASE_URL=postgres://x", "DIRECT_URL=postgres://x", "REDIS_URL=redis://x", "OPENAI_API_KEY=x", "OPENROUTER_API_KEY=x", "ANN_TOKEN=x",
		}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "as it is" && loaded.Storage.Driver != "postgres" {
			t.Errorf("the example keeps DATABASE_URL from choosing the storage: it is %s", loaded.Storage.Driver)
		}
	}
}
