// Package arch holds the code to the architecture's rules.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) (out []listed) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(string(text))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
}

// ioPackages are the parts of the standard library that do I/O.
var ioPackages = []string{"os", "os/exec", "net", "net/http", "database/sql", "syscall", "log", "log/slog"}

// siblings are the adapters that may use another one.
var siblings = map[string][]string{
	"agentapi/adapters/storage/sqlite":   {"agentapi/adapters/storage/bunstore", "agentapi/migrations"},
	"agentapi/adapters/storage/postgres": {"agentapi/adapters/storage/bunstore", "agentapi/migrations"},
	"agentapi/adapters/storage/bunstore": {"agentapi/migrations"},
	"agentapi/adapters/agent/exec":       {"agentapi/adapters/agent/process"},
	"agentapi/adapters/agent/openai":     {"agentapi/adapters/agent/refusal"},
	"agentapi/adapters/agent/relay":      {"agentapi/adapters/agent/refusal"},
	"agentapi/adapters/agent/vertex":     {"agentapi/adapters/agent/refusal", "agentapi/adapters/agent/sse"},
	"agentapi/adapters/agent/ccr":        {"agentapi/adapters/agent/process", "agentapi/adapters/agent/refusal", "agentapi/adapters/agent/relay", "agentapi/adapters/agent/sse"},
	"agentapi/adapters/agent/droid":      {"agentapi/adapters/agent/process", "agentapi/adapters/agent/refusal", "agentapi/adapters/agent/relay"},
}

func TestEachRingImportsOnlyWhatLiesInside(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			if why := forbidden(p.ImportPath, imported); why != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imported, why)
			}
		}
	}
}

func forbidden(from, to string) string {
	own := strings.HasPrefix(to, "agentapi/")
	third := !own && strings.Contains(strings.Split(to, "/")[0], ".")
	in := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if to == p || strings.HasPrefix(to, p+"/") {
				return true
			}
		}
		return false
	}
	ring := strings.Split(strings.TrimPrefix(from, "agentapi/"), "/")[0]
	switch {
	case ring != "bootstrap" && ring != "test" && in("agentapi/bootstrap"):
		return "nobody imports bootstrap"
	case ring != "bootstrap" && in("go.uber.org/fx", "go.uber.org/dig"):
		return "fx belongs to bootstrap"
	}
	switch ring {
	case "domain":
		if third || (own && !in("agentapi/domain")) {
			return "the domain knows the standard library and itself"
		}
		for _, p := range ioPackages {
			if to == p {
				return "the domain does no I/O"
			}
		}
	case "ports":
		if strings.HasPrefix(from, "agentapi/ports/port") {
			return "" // suites and mocks are for tests
		}
		if third || (own && !in("agentapi/domain")) {
			return "ports know the domain"
		}
	case "application":
		if third || (own && !in("agentapi/domain", "agentapi/ports", "agentapi/application")) {
			return "the application knows the domain and the ports"
		}
	case "adapters":
		return adapter(from, to, own)
	case "configs":
		if own && !in("agentapi/configs") || third && !in("github.com/goccy/go-yaml") {
			return "configs know the standard library and the YAML reader"
		}
	case "migrations":
		if own && !in("agentapi/domain") {
			return "migrations know the domain"
		}
	}
	return ""
}

func adapter(from, to string, own bool) string {
	if !own || strings.HasPrefix(to, "agentapi/domain") || to == "agentapi/ports" {
		return ""
	}
	parts := strings.Split(from, "/")
	driving := parts[2] == "http"
	subtree := strings.Join(parts[:min(4, len(parts))], "/")
	if driving {
		subtree = "agentapi/adapters/http"
	}
	if to == subtree || strings.HasPrefix(to, subtree+"/") || (driving && strings.HasPrefix(to, "agentapi/application/")) {
		return ""
	}
	for _, s := range siblings[subtree] {
		if to == s {
			return ""
		}
	}
	return "an adapter knows neither its siblings nor the application"
}

// sources calls each for every Go file that is not generated.
func sources(t *testing.T, each func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.Contains(path, "portmock") {
			return err
		}
		text, err := os.ReadFile(path)
		each(filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator))), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheCodeKeepsTheHouseRules(t *testing.T) {
	rules := []struct {
		pattern *regexp.Regexp
		allowed func(path string) bool
		why     string
	}{
		{regexp.MustCompile(`(?m)^func init\(\)`), func(string) bool { return false }, "nothing registers itself"},
		{regexp.MustCompile(`\*fiber\.Ctx`), func(p string) bool {
			return strings.HasPrefix(p, "adapters/http/") || strings.HasPrefix(p, "test/load/")
		}, "the HTTP library's context stays in its adapter"},
		{regexp.MustCompile("`bun:"), func(p string) bool { return strings.HasPrefix(p, "adapters/storage/bunstore/") }, "rows live in bunstore"},
		{regexp.MustCompile(`\.Status\((4|5)\d\d|\.SendStatus\(`), func(string) bool { return false }, "errors become answers in one place"},
		{regexp.MustCompile(`(?m)^var [A-Z]\w* `), func(p string) bool {
			return !strings.HasPrefix(p, "domain/") && !strings.HasPrefix(p, "application/")
		}, "the core has no exported variables"},
	}
	sources(t, func(path, text string) {
		if strings.HasPrefix(path, "test/arch/") {
			return
		}
		for _, r := range rules {
			if !r.allowed(path) && r.pattern.MatchString(text) {
				t.Errorf("%s: %s", path, r.why)
			}
		}
	})
}

func TestEveryDriverRunsItsPortsSuite(t *testing.T) {
	suites := map[string]bool{}
	sources(t, func(path, text string) {
		if strings.HasSuffix(path, "_test.go") && regexp.MustCompile(`porttest\.[A-Z]`).MatchString(text) {
			suites[filepath.Dir(path)] = true
		}
	})
	found := 0
	sources(t, func(path, text string) {
		if !strings.HasPrefix(path, "bootstrap/") || !strings.Contains(text, "driver.For(") {
			return
		}
		for _, m := range regexp.MustCompile(`"agentapi/(adapters/(?:storage|cache|identity|agent)/[a-z/]+)"`).FindAllStringSubmatch(text, -1) {
			if dir := m[1]; !suites[dir] && !strings.HasSuffix(dir, "/process") && !strings.HasSuffix(dir, "/relay") {
				t.Errorf("%s is a driver without a test that calls its port's suite", dir)
			}
			found++
		}
	})
	if found < 5 {
		t.Errorf("only %d drivers were found: the test looks in the wrong place", found)
	}
}

func TestTheMocksAreCurrent(t *testing.T) {
	for _, port := range []string{"agent", "cache", "identity", "observer", "storage"} {
		cmd := exec.CommandContext(t.Context(), "go", "tool", "mockgen", "-source="+port+".go", "-package=portmock")
		cmd.Dir = filepath.Join(root, "ports")
		want, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(root, "ports", "portmock", port+".go"))
		if err != nil || string(got) != string(want) {
			t.Errorf("ports/portmock/%s.go is not what mockgen makes now; run: go generate ./ports", port)
		}
	}
}

func TestTheSchemaIsCurrent(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "run", "./bootstrap/agentapi", "config", "schema")
	cmd.Dir = root
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, "configs", "schema.json"))
	if err != nil || string(got) != string(want) {
		t.Error("configs/schema.json is not what the program prints; run: go run ./bootstrap/agentapi config schema > configs/schema.json")
	}
}

// floors are the versions below which known holes are open.
var floors = map[string]string{
	"github.com/gofiber/fiber/v2":   "v2.52.13",
	"github.com/valyala/fasthttp":   "v1.77.0",
	"github.com/uptrace/bun":        "v1.3.0",
	"github.com/golang/mock":        "v1.7.0-rc.1",
	"golang.org/x/net":              "v0.55.0",
	"github.com/klauspost/compress": "v1.18.7",
	"github.com/jackc/pgx/v5":       "v5.9.2",
	"github.com/go-jose/go-jose/v4": "v4.1.4",
	"golang.org/x/oauth2":           "v0.27.0",
}

// floorsIfUsed are the same for what need not be there.
var floorsIfUsed = map[string]string{
	"github.com/gofiber/utils":               "v1.2.0",
	"github.com/golang-jwt/jwt/v5":           "v5.2.2",
	"github.com/modelcontextprotocol/go-sdk": "v1.4.1",
	"golang.org/x/crypto":                    "v0.52.0",
	"github.com/uptrace/bun/driver/pgdriver": "v1.2.15",
}

func TestDependenciesAreAboveTheirFloors(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for module, floor := range floors {
		m := regexp.MustCompile(regexp.QuoteMeta(module) + ` (v\S+)`).FindStringSubmatch(string(text))
		if m == nil {
			t.Errorf("%s is not in go.mod", module)
			continue
		}
		if older(m[1], floor) {
			t.Errorf("%s is %s, below %s", module, m[1], floor)
		}
	}
	for module, floor := range floorsIfUsed {
		m := regexp.MustCompile(regexp.QuoteMeta(module) + ` (v\S+)`).FindStringSubmatch(string(text))
		if m != nil && older(m[1], floor) {
			t.Errorf("%s is %s, below %s", module, m[1], floor)
		}
	}
	if m := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(string(text)); m == nil || older("v"+m[1], "v1.26.6") {
		t.Errorf("go.mod asks for Go %v, below 1.26.6, whose standard library has known holes", m)
	}
}

// older compares release versions by their numbers.
func older(a, b string) bool {
	numbers := regexp.MustCompile(`\d+`)
	x, y := numbers.FindAllString(a, 3), numbers.FindAllString(b, 3)
	for i := range min(len(x), len(y)) {
		if len(x[i]) != len(y[i]) {
			return len(x[i]) < len(y[i])
		}
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}
