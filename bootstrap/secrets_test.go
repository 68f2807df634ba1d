package bootstrap_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"agentapi/bootstrap"
	"agentapi/configs"
)

// planted writes a configuration that has a canary wherever a secret may stand.
type planted struct{ n int }

func (p *planted) canary() string {
	p.n++
	return fmt.Sprintf("canary-%d-with/a:quirk@fjord", p.n)
}

// object is the fields of t that hold secrets, as JSON, which is YAML too.
func (p *planted) object(t reflect.Type) map[string]any {
	out := map[string]any{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.Anonymous {
			maps.Copy(out, p.object(f.Type))
		}
		if name == "" || name == "-" {
			continue
		}
		if v := p.value(f.Type, f.Tag.Get("secret") == "true", name); v != nil {
			out[name] = v
		}
	}
	return out
}

func (p *planted) value(t reflect.Type, secret bool, name string) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Struct:
		if inner := p.object(t); len(inner) > 0 {
			return inner
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		if inner := p.object(t.Elem()); len(inner) > 0 {
			return []any{inner}
		}
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		if inner := p.object(t.Elem()); len(inner) > 0 {
			return map[string]any{"one": inner}
		}
	case !secret:
	case t.Kind() == reflect.Map:
		return map[string]any{"Plain-Name": p.canary()}
	case strings.HasSuffix(name, "url"): // what is a secret in an address is the password
		return "postgres://user:" + p.canary() + "@host/db?sslpassword=" + p.canary()
	default:
		return p.canary()
	}
	return nil
}

// Whatever is marked as a secret, in the configuration itself or a driver's options,
// is shown nowhere.
func TestNoSecretOfAConfigurationIsShown(t *testing.T) {
	p := &planted{}
	all := p.object(reflect.TypeFor[configs.Config]())
	all["version"] = 1
	agents := map[string]any{}
	for path, options := range bootstrap.DriverOptions() {
		port, driver, _ := strings.Cut(path, ".")
		held := p.object(options)
		switch {
		case port == "agents":
			if driver == "exec" { // it is the program's own, and may be one
				held["env"] = map[string]any{"TOKEN": p.canary()}
			}
			if driver == "openai" {
				held["base_url"] = "https://user:" + p.canary() + "@host/v1?api_key=" + p.canary()
			}
			agents["an-"+driver] = map[string]any{"driver": driver, driver: held}
		case len(held) > 0:
			if all[port] == nil {
				all[port] = map[string]any{}
			}
			all[port].(map[string]any)[driver] = held
		}
	}
	all["agents"] = agents
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "agentapi.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := configs.Load(configs.Sources{Files: []string{file}, Environ: []string{"AGENTAPI_KEY_PEPPER=canary-of-the-environment"}, Drivers: bootstrap.DriverPaths()})
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(loaded.Settings())
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{"print": loaded.Print(false), "print --origin": loaded.Print(true), "the settings": string(settings)}
	for name := range agents {
		shown["what is stored of "+name] = loaded.Shown("agents." + name)
	}
	for where, text := range shown {
		if i := strings.Index(text, "canary-"); i >= 0 {
			t.Errorf("%s shows %q", where, text[max(0, i-60):min(len(text), i+40)])
		}
		if strings.Contains(text, "quirk") || strings.Contains(text, "fjord") {
			t.Errorf("%s shows a part of a secret: %s", where, text)
		}
	}
	for _, want := range []string{"an-openai", "postgres://user:", "host/db"} {
		if !strings.Contains(shown["print"], want) {
			t.Errorf("%q is not shown in\n%s", want, shown["print"])
		}
	}
	if p.n < 15 {
		t.Errorf("only %d secrets were planted", p.n)
	}
	t.Logf("%d secrets were planted in %d bytes, and none is shown", p.n, len(text))
}
