package bootstrap

import (
	"encoding/json"
	"net"
	"time"

	"agentapi/configs"
)

// Where an Ollama listens unless told otherwise, and how long it has to say that
// it does: the start must not wait for it.
const (
	ollamaAddr  = "127.0.0.1:11434"
	ollamaLimit = 50 * time.Millisecond
)

// Discover looks at the machine for agents, where no file says which there are.
// It gives values of the configuration by path.
func Discover(f *configs.Found) map[string]string {
	if f.HasAgents {
		return nil
	}
	out := map[string]string{"agents.demo.driver": "demo"}
	upstream := func(name, base, key string) {
		out["agents."+name+".driver"] = "openai"
		out["agents."+name+".openai.base_url"] = quote(base)
		out["agents."+name+".openai.api_key"] = quote(key)
	}
	if key := f.Env("OPENAI_API_KEY"); key != "" {
		base := f.Env("OPENAI_BASE_URL")
		if base == "" {
			base = "https://api.openai.com/v1"
		}
		upstream("openai", base, key)
	}
	if key := f.Env("OPENROUTER_API_KEY"); key != "" {
		upstream("openrouter", "https://openrouter.ai/api/v1", key)
	}
	if conn, err := net.DialTimeout("tcp", ollamaAddr, ollamaLimit); err == nil {
		conn.Close()
		upstream("ollama", "http://"+ollamaAddr+"/v1", "none")
	}
	return out
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

// Wanted lists the agents that were not found.
func Wanted(env func(string) string, c *configs.Config) []Missing {
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
	miss("ollama", "nothing listens on "+ollamaAddr, "start it with: ollama serve")
	return out
}
