package bootstrap

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	"agentapi/adapters/agent/ccr"
	"agentapi/adapters/agent/droid"
	"agentapi/configs"
)

// Where an Ollama listens unless told otherwise, and how long it has to say that
// it does: the start must not wait for it.
const (
	ollamaAddr  = "127.0.0.1:11434"
	ollamaLimit = 50 * time.Millisecond
)

// Discover looks at the machine for agents, where no file says which there are.
// It gives values of the configuration by path. Agents that are programs get no
// tools; they answer to agent/model only, so that a bare id never starts one.
func Discover(f *configs.Found) map[string]string {
	if f.HasAgents {
		return nil
	}
	out := map[string]string{"agents.demo.driver": "demo"}
	bare := []string{"demo"}
	upstream := func(name, base, key string) {
		out["agents."+name+".driver"] = "openai"
		out["agents."+name+".openai.base_url"] = quote(base)
		out["agents."+name+".openai.api_key"] = quote(key)
		bare = append(bare, name)
	}
	base, key := "", ""
	if k := f.Env("OPENAI_API_KEY"); k != "" {
		base, key = cmp.Or(f.Env("OPENAI_BASE_URL"), "https://api.openai.com/v1"), k
		upstream("openai", base, key)
	}
	if k := f.Env("OPENROUTER_API_KEY"); k != "" {
		base, key = "https://openrouter.ai/api/v1", k
		upstream("openrouter", base, key)
	}
	if conn, err := net.DialTimeout("tcp", ollamaAddr, ollamaLimit); err == nil {
		conn.Close()
		upstream("ollama", "http://"+ollamaAddr+"/v1", "none")
	}
	if f.Env("VERTEX_AI_PROJECT_ID") != "" {
		out["agents.vertex.driver"] = "vertex"
		out["agents.vertex.models"] = "[gemini-2.5-pro, gemini-2.5-flash]"
		bare = append(bare, "vertex")
	}
	if key != "" && found(f, "ccr", "CCROUTER_PATH") {
		out["agents.ccr.driver"] = "ccr"
		out["agents.ccr.ccr.providers"] = fmt.Sprintf("[{name: up, base_url: %s, api_key: %s, models: ['*']}]", quote(base), quote(key))
	}
	if key != "" && found(f, "droid", "DROID_PATH") {
		out["agents.droid.driver"] = "droid"
		out["agents.droid.models"] = "['*']"
		out["agents.droid.droid.base_url"], out["agents.droid.droid.api_key"] = quote(base), quote(key)
	}
	out["routing.default"] = "[" + strings.Join(bare, ", ") + "]"
	return out
}

// found tells whether a program is there.
func found(f *configs.Found, program, variable string) bool {
	_, err := exec.LookPath(cmp.Or(f.Env(variable), program))
	return err == nil
}

// quote writes a string so that YAML reads it as that.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		return `""` // a string always encodes
	}
	return string(text)
}

// Missing are agents that people expect and this machine lacks, with the reason
// and the fix.
type Missing struct{ Name, Reason, Fix string }

// Wanted lists the agents that were not found, where the machine was looked at.
func Wanted(env func(string) string, c *configs.Config) []Missing {
	if c.Where("agents.demo.driver") != "found" {
		return nil // a file says which agents there are
	}
	var out []Missing
	miss := func(name, reason, fix string) {
		if _, there := c.Agents[name]; !there {
			out = append(out, Missing{name, reason, fix})
		}
	}
	if env("OPENAI_API_KEY") == "" {
		miss("openai", "OPENAI_API_KEY is not set", "export OPENAI_API_KEY=… (and OPENAI_BASE_URL for another provider)")
	}
	if env("OPENROUTER_API_KEY") == "" {
		miss("openrouter", "OPENROUTER_API_KEY is not set", "export OPENROUTER_API_KEY=…")
	}
	if env("VERTEX_AI_PROJECT_ID") == "" {
		miss("vertex", "VERTEX_AI_PROJECT_ID is not set", "export VERTEX_AI_PROJECT_ID=…, and gcloud auth application-default login")
	}
	const provider = "export OPENROUTER_API_KEY=… (or OPENAI_API_KEY)"
	for _, p := range []struct{ name, variable, install string }{
		{"ccr", "CCROUTER_PATH", "npm install -g @musistudio/claude-code-router@" + ccr.Tested}, {"droid", "DROID_PATH", "npm install -g droid@" + droid.Tested},
	} {
		if _, err := exec.LookPath(cmp.Or(env(p.variable), p.name)); err != nil {
			miss(p.name, p.name+" is not installed", p.install)
		} else {
			miss(p.name, "it has no provider", provider)
		}
	}
	miss("ollama", "nothing listens on "+ollamaAddr, "start it with: ollama serve")
	return out
}
