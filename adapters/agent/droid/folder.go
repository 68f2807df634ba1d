package droid

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"agentapi/domain/fault"
)

// folder is where a session lives on disk: a home of its user's, and a workspace
// and settings of its own.
type folder struct {
	home, own, work string
}

func newFolder(dir string, id owner) (f folder, err error) {
	user := filepath.Join(dir, id.scope.Org().String(), id.scope.User().String())
	f = folder{home: filepath.Join(user, "home"), own: filepath.Join(user, "sessions", filepath.Base(id.session))}
	f.work = filepath.Join(f.own, "work")
	for _, d := range []string{f.home, f.work} {
		if err = os.MkdirAll(d, 0o700); err != nil {
			return f, fault.Wrap(fault.Unavailable, err, "The agent has no place to work in.").WithCode("agent_unavailable")
		}
	}
	return f, nil
}

// settings are what droid reads of its models. The key is read from the process's
// environment, and is a token of the relay's.
func (f folder) settings(model, url, api string, maxTokens int) (path string, err error) {
	text, err := json.Marshal(map[string]any{
		"cloudSessionSync": false,
		"customModels": []map[string]any{{
			"model": model, "displayName": "agentapi", "baseUrl": url, "apiKey": "${" + tokenVariable + "}", "provider": api, "maxOutputTokens": maxTokens,
		}},
	})
	if err != nil {
		return "", err
	}
	path = filepath.Join(f.own, "settings.json")
	return path, os.WriteFile(path, text, 0o600)
}

// modelID is how droid names the first custom model of its settings.
const modelID = "custom:agentapi-0"

// tokenVariable holds the relay's token in the process's environment.
const tokenVariable = "AGENTAPI_RELAY_TOKEN"

// state is what a session of droid's is known to hold. It is taken away before a
// turn and written after it, so a turn that was cut off leaves none.
type state struct{ Native, Seen string }

func (f folder) file() string { return filepath.Join(f.own, "state.json") }

func (f folder) keep(native, seen string) error {
	text, err := json.Marshal(state{native, seen})
	if err != nil {
		return err
	}
	return os.WriteFile(f.file(), text, 0o600)
}

// dirty says that what the session holds is not known.
func (f folder) dirty() { _ = os.Remove(f.file()) }

// knows tells whether the session called native holds the transcript seen.
func (f folder) knows(native, seen string) bool {
	text, err := os.ReadFile(f.file())
	var s state
	return err == nil && json.Unmarshal(text, &s) == nil && s == state{native, seen}
}

// forget removes what droid keeps of the session's conversation.
func (f folder) forget() {
	f.dirty()
	_ = os.RemoveAll(filepath.Join(f.home, ".factory", "sessions", strings.ReplaceAll(f.work, "/", "-")))
}
