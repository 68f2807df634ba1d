package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// canaries are secrets that are told from each other, and from all else.
type canaries struct {
	names  map[string]string // by the secret, where it stands
	prefix string
}

func newCanaries(t *testing.T) *canaries {
	t.Helper()
	return &canaries{names: map[string]string{}, prefix: fmt.Sprintf("canary%dz", os.Getpid())}
}

// put makes a secret that stands somewhere.
func (c *canaries) put(where string) string {
	secret := fmt.Sprintf("%s%03dq%s", c.prefix, len(c.names), "xkzvwpfm")
	c.names[secret] = where
	return secret
}

// secret is a value for what the schema calls secret.
func (c *canaries) secret(path string, schema map[string]any) any {
	if schema["type"] == "object" {
		return map[string]any{"X-Secret": c.put(path)}
	}
	if strings.HasSuffix(path, "url") {
		return "postgres://user:" + c.put(path) + "@127.0.0.1:1/db?connect_timeout=1"
	}
	return c.put(path)
}

// fill makes a configuration with a canary wherever the schema says that a secret
// stands, and nothing else; nil where there is none.
func (c *canaries) fill(path string, schema map[string]any) any {
	if schema["writeOnly"] == true {
		return c.secret(path, schema)
	}
	if items, ok := schema["items"].(map[string]any); ok {
		if v := c.fill(path+"[]", items); v != nil {
			return []any{v}
		}
		return nil
	}
	out := map[string]any{}
	if more, ok := schema["additionalProperties"].(map[string]any); ok {
		properties, _ := more["properties"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			if v := c.fill(path+".*."+name, properties[name].(map[string]any)); v != nil {
				out[name] = map[string]any{"driver": name, name: v} // an agent of each driver
			}
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if v := c.fill(path+"."+name, properties[name].(map[string]any)); v != nil {
			out[name] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Whatever option is secret by its tag, the programs that show the configuration
// or find it wanting do not show it.
func TestNoSecretOfTheConfigurationIsShown(t *testing.T) {
	text, err := os.ReadFile("../../configs/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	c := newCanaries(t)
	config := c.fill("", schema).(map[string]any)
	config["version"] = 1
	config["agents"].(map[string]any)["own"] = map[string]any{"driver": "exec", "exec": map[string]any{"command": []string{"/bin/false"}, "env": map[string]string{"SECRET": c.put("agents.own.exec.env")}}}
	config["storage"].(map[string]any)["driver"] = "postgres"
	dir := t.TempDir()
	file := filepath.Join(dir, "agentapi.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := json.Marshal(config) // which is YAML
	if err != nil {
		t.Fatal(err)
	}
	lines, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(lines), `"version": 1`, `"version": 1 1`, 1)
	var env []string
	for _, name := range []string{
		"DATABASE_URL", "DIRECT_URL", "SUPABASE_DB_PASSWORD", "SUPABASE_SERVICE_ROLE_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "FACTORY_API_KEY",
		"REDIS_URL", "UPSTASH_REDIS_REST_TOKEN", "AGENTAPI_DEV_TOKEN", "AGENTAPI_KEY_PEPPER", "AGENTAPI_TOKEN",
	} {
		value := c.put(name)
		if strings.HasSuffix(name, "URL") {
			value = strings.ToLower(strings.TrimSuffix(name, "_URL")) + "://user:" + value + "@127.0.0.1:1/db"
		}
		env = append(env, name+"="+strings.Replace(strings.Replace(value, "database:", "postgres:", 1), "direct:", "postgres:", 1))
	}
	if len(c.names) < 20 {
		t.Fatalf("there are %d secrets only: %v", len(c.names), c.names)
	}
	for name, x := range map[string]struct {
		file string
		env  []string
	}{
		"a file with all secrets":         {string(whole), nil},
		"an unknown key beside":           {strings.Replace(string(whole), `"version":1`, `"version":1,"sever":{}`, 1), nil},
		"text that is no YAML":            {broken, nil},
		"a secret of the wrong type":      {strings.ReplaceAll(string(whole), `"X-Secret":`, `"X-Secret":[],"Y":`), nil},
		"secrets where objects should be": {`{"version":1,"log":"` + c.put("log") + `"}`, nil},
		"lists of secrets":                {regexp.MustCompile(`"(api_key|token|key_pepper|password)":("[^"]*")`).ReplaceAllString(string(whole), `"$1":[$2]`), nil},
		"a cut file":                      {string(lines[:len(lines)-200]), nil},
		"all variables":                   {`{"version":1}`, env},
	} {
		write(x.file)
		for _, args := range [][]string{
			{"config", "print"}, {"config", "print", "--origin"}, {"config", "validate"}, {"doctor"}, {"serve"}, {"migrate", "status"}, {"admin", "bootstrap", "i", "s"}, {"audit", "tail"}, {"token", "inspect", "e30.e30.AAAA"},
		} {
			out, errs, code := command(t, dir, append(append([]string{}, x.env...), "AGENTAPI_CONFIG="+file, "AGENTAPI_PORT=0"), "", args...)
			for secret, where := range c.names {
				if strings.Contains(out+errs, secret) {
					t.Errorf("%s, %v (exit %d) shows the secret of %s:\n%s%s", name, args, code, where, out, errs)
				}
			}
			if slices.Contains(args, "print") && name == "a file with all secrets" && (code != 0 || strings.Count(out, "••••") < 14) {
				t.Errorf("the configuration is not printed: exit %d\n%s%s", code, out, errs)
			}
		}
	}
	t.Logf("%d secrets", len(c.names))
}

// A database that refuses the password, or that a server uses with it, does not
// have it shown either.
func TestNoDatabasePasswordIsShown(t *testing.T) {
	_, env := migrated(t, postgres.Shared(t))
	var good string
	for _, e := range env {
		if text, ok := strings.CutPrefix(e, "DATABASE_URL="); ok {
			good = text
		}
	}
	u, err := url.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	right, _ := u.User.Password()
	c := newCanaries(t)
	u.User = url.UserPassword(u.User.Username(), c.put("a wrong password"))
	if right != "" {
		c.names[right] = "the right password"
	}
	for name, env := range map[string][]string{"right": env, "wrong": {"DATABASE_URL=" + u.String(), "LOG_LEVEL=debug"}} {
		for _, args := range [][]string{{"doctor"}, {"migrate", "status"}, {"audit", "tail"}, {"config", "print", "--origin"}, {"serve"}} {
			if name == "right" && args[0] == "serve" {
				continue
			}
			out, errs, code := command(t, t.TempDir(), append(env, "AGENTAPI_PORT=0"), "", args...)
			if found := c.find(out + errs); found != nil {
				t.Errorf("%s, %v (exit %d) shows %v:\n%s%s", name, args, code, found, out, errs)
			}
			if args[0] == "serve" && code == 0 {
				t.Error("a server starts with a wrong password")
			}
		}
	}
	s := kit.Start(t, kit.Options{Env: append(env, "LOG_LEVEL=debug")})
	s.Chat(t, kit.Ask("demo/echo", "hello"))
	if found := c.find(s.Logs.String()); found != nil {
		t.Errorf("the log shows %v", found)
	}
}
