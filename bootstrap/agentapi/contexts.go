package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// contexts are the servers that somebody has logged in to, kept in a file that
// nobody else can read. Of two commands that change it at once the last one wins;
// none leaves half a file.
type contexts struct {
	Current string              `yaml:"current"`
	All     map[string]*account `yaml:"contexts"`

	path string
}

// account is what is needed to talk to one server as somebody.
type account struct {
	URL     string    `yaml:"url"`
	Token   string    `yaml:"token"`             // an API key or a token, whatever the server takes
	Key     string    `yaml:"key,omitempty"`     // the id of the API key that a login made, which a logout revokes
	User    string    `yaml:"user,omitempty"`    // as whom, for people
	Expires time.Time `yaml:"expires,omitempty"` // of the token; zero: never, or unknown
}

// contextsPath is where contexts are kept: contexts.yaml in agentapi in the
// user's configuration folder.
func contextsPath() (string, error) {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &exit{code: exitConfig, err: errors.New("there is no home folder to keep contexts in"), fix: "set XDG_CONFIG_HOME"}
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "agentapi", "contexts.yaml"), nil
}

// readContexts reads the file; where there is none, there are no contexts.
func readContexts() (*contexts, error) {
	path, err := contextsPath()
	if err != nil {
		return nil, err
	}
	out := &contexts{path: path, All: map[string]*account{}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, &exit{code: exitConfig, err: err}
	}
	defer f.Close()
	for _, place := range []struct {
		name    string
		others  fs.FileMode // what nobody else may
		what    string
		correct string
	}{
		{path, 0o077, "read or changed", "600"}, {filepath.Dir(path), 0o022, "changed", "700"},
	} {
		info, err := os.Stat(place.name)
		if err != nil {
			return nil, &exit{code: exitConfig, err: err}
		}
		if mode := info.Mode().Perm(); mode&place.others != 0 {
			return nil, &exit{
				code: exitConfig, err: fmt.Errorf("%s can be %s by others (its mode is %04o), and it holds credentials", place.name, place.what, mode),
				fix: "chmod " + place.correct + " " + place.name + ", and revoke the keys in it if others have been on this machine",
			}
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, &exit{code: exitConfig, err: err}
	}
	// What it quotes of the file may be a credential, so it is not shown.
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(out); err != nil && !errors.Is(err, io.EOF) || out.broken() {
		return nil, &exit{code: exitConfig, err: fmt.Errorf("%s is not as agentapi writes it", path), fix: "mend it, or remove it and log in again: agentapi login"}
	}
	if out.All == nil {
		out.All = map[string]*account{}
	}
	return out, nil
}

func (c *contexts) broken() bool {
	for _, a := range c.All {
		if a == nil || a.URL == "" {
			return true
		}
	}
	return c.Current != "" && c.All[c.Current] == nil
}

// write puts the file in place of the one that was there, whole or not at all.
func (c *contexts) write() (err error) {
	failed := func(err error) error {
		return &exit{code: exitError, err: fmt.Errorf("contexts cannot be kept: %w", err), fix: "set XDG_CONFIG_HOME to a folder that can be written"}
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return failed(err)
	}
	dir := filepath.Dir(c.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failed(err)
	}
	f, err := os.CreateTemp(dir, ".contexts-*") // of mode 0600
	if err != nil {
		return failed(err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return failed(err)
	}
	if err = os.Rename(f.Name(), c.path); err != nil {
		return failed(err)
	}
	return nil
}

// choose gives the context called name; the current one where name is empty, and
// nil where there is none.
func (c *contexts) choose(name string) (string, *account, error) {
	if name = cmp.Or(name, c.Current); name == "" {
		return "", nil, nil
	}
	a := c.All[name]
	if a == nil {
		have := "there is none: agentapi login makes one"
		if len(c.All) > 0 {
			have = "there are " + strings.Join(slices.Sorted(maps.Keys(c.All)), ", ")
		}
		return "", nil, &exit{code: exitUsage, err: fmt.Errorf("there is no context %q", line(name)), fix: have}
	}
	return name, a, nil
}

// validContext refuses a name that cannot be typed or would steer a terminal.
func validContext(name string) error {
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._:@-[]", r)
	}
	if name == "" || len(name) > 253 || strings.ContainsFunc(name, odd) || name[0] == '-' {
		return &exit{code: exitUsage, err: fmt.Errorf("%q is no name of a context", line(name)), fix: "use letters, digits and . _ : @ -"}
	}
	return nil
}
