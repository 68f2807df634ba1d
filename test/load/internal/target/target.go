// Package target describes the servers under test and builds their requests.
package target

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"agentapi/test/load/internal/wire"
)

// T is one server under test, an entry of the targets file.
type T struct {
	Name    string            `json:"name"`
	URL     string            `json:"url"`
	PID     int               `json:"pid,omitempty"`     // root of its process tree
	PIDFile string            `json:"pidfile,omitempty"` // read instead of PID
	Model   string            `json:"model,omitempty"`
	API     string            `json:"api,omitempty"` // openai (default) or anthropic
	Headers map[string]string `json:"headers,omitempty"`
	Group   string            `json:"group,omitempty"` // floor or peer, for the report
}

// Load reads a targets file and keeps the named ones (all when only is empty).
// Targets whose process is gone are left out and reported in missing.
func Load(path, only string) (ts []T, missing []string, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	var all []T
	if err = json.Unmarshal(b, &all); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	byName := map[string]T{}
	var names []string
	for _, t := range all {
		byName[t.Name] = t
		names = append(names, t.Name)
	}
	if only != "" {
		names = strings.Split(only, ",")
	}
	for _, n := range names {
		t, ok := byName[n]
		if !ok {
			return nil, nil, fmt.Errorf("target %q is not in %s", n, path)
		}
		if t.PIDFile != "" {
			b, err := os.ReadFile(t.PIDFile)
			if err == nil {
				t.PID, err = strconv.Atoi(strings.TrimSpace(string(b)))
			}
			if err == nil {
				_, err = os.Stat(fmt.Sprintf("/proc/%d", t.PID))
			}
			if err != nil {
				missing = append(missing, n)
				continue
			}
		}
		ts = append(ts, t)
	}
	return ts, missing, nil
}

// Shape is what every request of a run asks for.
type Shape struct {
	Stream      bool `json:"stream"`
	Tokens      int  `json:"tokens"`
	PromptBytes int  `json:"prompt_bytes"`
}

// Request builds the complete HTTP request for one target.
func (t T) Request(s Shape) (addr string, req []byte, err error) {
	model := t.Model
	if model == "" {
		model = "mock-1"
	}
	const lorem = "The quick brown fox jumps over the lazy dog while the gateway relays its words. "
	prompt := strings.Repeat(lorem, s.PromptBytes/len(lorem)+1)[:s.PromptBytes]
	system := map[string]string{"role": "system", "content": "You are a helpful assistant."}
	user := map[string]string{"role": "user", "content": prompt}
	body := map[string]any{
		"model": model, "max_tokens": s.Tokens, "temperature": 0.7,
		"messages": []any{system, user},
	}
	if t.API == "anthropic" {
		body["system"] = system["content"]
		body["messages"] = []any{user}
	}
	if s.Stream {
		body["stream"] = true
	}
	b, err := json.Marshal(body)
	if err != nil {
		return "", nil, err
	}
	return wire.Request(t.URL, t.Headers, b)
}
