package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"agentapi/adapters/identity/oidc"
	"agentapi/bootstrap"
	"agentapi/configs"
)

// announcement is what a start has to say.
type announcement struct {
	loaded  *configs.Loaded
	address string
	setting bootstrap.Setting
	made    bool // the token was made here, and is kept
	missing []bootstrap.Missing
}

// announce says where the server listens and how to call it: a page for people,
// or one line where the log is asked to be JSON, without the token.
func announce(out io.Writer, log *zap.Logger, a *announcement) {
	for _, n := range a.loaded.Notices {
		log.Warn(n)
	}
	if a.loaded.Log.Format == "json" {
		log.Info("ready", zap.String("api", "http://"+a.address+"/v1"), zap.String("version", version()),
			zap.String("storage", a.loaded.Storage.Driver), zap.Strings("identity", a.loaded.Identity.Chain), zap.Strings("agents", a.loaded.AgentNames()))
		return
	}
	fmt.Fprint(out, a.text())
}

func (a *announcement) text() string {
	var b strings.Builder
	source := "no configuration file: defaults"
	if a.loaded.File != "" {
		source = a.loaded.File
	}
	fmt.Fprintf(&b, "AgentAPI %s · %s\n\n", version(), source)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("API", "http://%s/v1", a.address)
	token := a.setting.DevToken
	switch {
	case a.made:
		row("Token", "%s   (kept in %s)", token, filepath.Join(a.setting.DataDir, tokenFile))
	case token != "": // whoever set it knows it, and what is said here may be kept as a log
		row("Token", "as AGENTAPI_DEV_TOKEN says")
		if token = "$AGENTAPI_DEV_TOKEN"; os.Getenv("AGENTAPI_DEV_TOKEN") == "" {
			token = `$(cat "$AGENTAPI_DEV_TOKEN_FILE")`
		}
	case slices.Contains(a.loaded.Identity.Chain, "dev"):
		row("Token", "see identity.dev.tokens in the configuration")
		token = "YOUR_TOKEN"
	default:
		token = "YOUR_TOKEN"
	}
	if issuers := a.issuers(); len(issuers) > 0 {
		row("Login", "tokens of %s   (agentapi token inspect explains one)", strings.Join(issuers, ", "))
	}
	switch a.loaded.Storage.Driver {
	case "memory":
		row("Storage", "memory (lost on exit)")
	case "sqlite":
		path := filepath.Join(a.setting.DataDir, "agentapi.db")
		var own struct {
			Path string `yaml:"path"`
		}
		if a.loaded.Decode("storage.sqlite", &own) == nil && own.Path != "" {
			path = own.Path
		}
		row("Storage", "sqlite, %s", path)
	default:
		row("Storage", "%s", a.loaded.Storage.Driver)
	}
	b.WriteByte('\n')
	label := "Agents"
	for _, name := range a.loaded.AgentNames() {
		what := a.loaded.Agents[name].Driver
		if models := a.loaded.Agents[name].Models; len(models) > 0 {
			ids := make([]string, len(models))
			for i, m := range models {
				ids[i] = m.ID
			}
			what += ": " + strings.Join(ids, ", ")
		} else if what == "demo" {
			what = "offline: echo, story, tools, json, slow, flaky"
		}
		state := "set up" // whether it can be reached is asked in the background
		if a.loaded.Agents[name].Driver == "demo" {
			state = "ready"
		}
		row(label, "%-11s %-8s %s", name, state, what)
		label = ""
	}
	for _, m := range a.missing {
		row(label, "%-11s missing  %s → %s", m.Name, m.Reason, m.Fix)
		label = ""
	}
	model := "demo/echo"
	if _, ok := a.loaded.Agents["demo"]; !ok {
		model = firstModel(a.loaded)
	}
	fmt.Fprintf(&b, "\n  Try       curl http://%s/v1/chat/completions -H \"Authorization: Bearer %s\" \\\n"+
		"              -H 'Content-Type: application/json' -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'\n"+
		"  Next      agentapi chat   ·   agentapi doctor   ·   agentapi config init\n\n", a.address, token, model)
	return b.String()
}

// issuers are the providers whose tokens are taken.
func (a *announcement) issuers() (out []string) {
	var login oidc.Options
	if !slices.Contains(a.loaded.Identity.Chain, "oidc") || a.loaded.Decode("identity.oidc", &login) != nil {
		return nil
	}
	for _, i := range login.Issuers {
		out = append(out, i.Issuer[0])
	}
	return out
}

// firstModel is some model to try.
func firstModel(c *configs.Loaded) string {
	for _, name := range c.AgentNames() {
		if models := c.Agents[name].Models; len(models) > 0 {
			return name + "/" + models[0].ID
		}
		if c.Agents[name].Driver == "demo" {
			return name + "/echo"
		}
	}
	return "MODEL"
}
