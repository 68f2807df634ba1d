package configs

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

//go:embed default.yaml
var defaults []byte

// Sources is where a configuration is read from. The zero value reads nothing
// but the defaults.
type Sources struct {
	Files   []string          // from --config; empty: AGENTAPI_CONFIG, then the usual places
	Environ []string          // as os.Environ gives it
	Flags   map[string]string // path → value
	Search  []string          // the usual places; the first that exists is read
	// Extra is laid over the defaults and under all else: what was found on
	// the machine where no file says which agents there are.
	Extra func(c *Found) map[string]string
	// Drivers are the paths that drivers read.
	Drivers func(path string) bool
}

// Found is what is known when the machine is looked at for agents.
type Found struct {
	Env       func(string) string // a variable, its _FILE twin included
	HasAgents bool                // the file says which agents there are
}

// Loaded is a configuration and what is to be said about it.
type Loaded struct {
	*Config
	File    string   // that was read, or empty
	Notices []string // what was accepted without effect
}

// Places lists where a configuration file is looked for, besides AGENTAPI_CONFIG.
func Places(env func(string) string) []string {
	out := []string{"agentapi.yaml"}
	if dir := env("XDG_CONFIG_HOME"); dir != "" {
		out = append(out, filepath.Join(dir, "agentapi", "agentapi.yaml"))
	} else if home := env("HOME"); home != "" {
		out = append(out, filepath.Join(home, ".config", "agentapi", "agentapi.yaml"))
	}
	return append(out, "/etc/agentapi/agentapi.yaml")
}

// Load reads the configuration. The error joins everything that is wrong, one
// line each.
func Load(s Sources) (*Loaded, error) {
	tree, err := parse("default", defaults)
	if err != nil {
		return nil, err
	}
	markDefault(tree)
	env := newEnviron(s.Environ)
	out := &Loaded{}

	files, err := s.files(env)
	if err != nil {
		return nil, err
	}
	over := &node{fields: map[string]*node{}}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: cannot be read: %w", name, errors.Unwrap(err))
		}
		n, err := parse(name, text)
		if err != nil {
			return nil, err
		}
		if n.fields == nil {
			return nil, fmt.Errorf("%s: must be an object, not a list or a single value", name)
		}
		over = over.merge(n)
		out.File = name
	}
	d := &decoder{}
	hasAgents := over.at("agents") != nil
	env.apply(over, d)
	if s.Extra != nil {
		for path, text := range s.Extra(&Found{Env: env.value, HasAgents: hasAgents}) {
			put(tree, path, text, "found", d)
		}
	}
	tree = tree.merge(over)
	for path, text := range s.Flags {
		put(tree, path, text, "flag", d)
	}
	env.arrange(tree)
	out.Notices = env.notices
	expand(tree, env, d, "")

	c := &Config{tree: tree}
	d.allowed = driverPaths(tree, s.Drivers)
	d.decode(tree, "", reflect.ValueOf(c).Elem())
	if len(d.problems) == 0 {
		c.validate(d)
	}
	if err := d.result(); err != nil {
		return nil, err
	}
	out.Config = c
	return out, nil
}

func markDefault(n *node) {
	n.origin = "default"
	for _, f := range n.fields {
		markDefault(f)
	}
	for _, i := range n.list {
		markDefault(i)
	}
}

func (s *Sources) files(env *environ) ([]string, error) {
	if len(s.Files) > 0 {
		return s.Files, nil
	}
	if name := env.value("AGENTAPI_CONFIG"); name != "" {
		return []string{name}, nil
	}
	for _, name := range s.Search {
		if _, err := os.Stat(name); err == nil {
			return []string{name}, nil
		}
	}
	return nil, nil
}

// put lays one value, written as YAML, at a path.
func put(tree *node, path, text, origin string, d *decoder) {
	n, err := parse(origin, []byte(text))
	if err != nil || n.fields != nil && len(n.fields) == 0 && strings.TrimSpace(text) != "{}" {
		n = scalar(text, origin)
	}
	setOrigin(n, origin)
	if n.isNull() {
		n = scalar(text, origin)
	}
	tree.set(strings.Split(path, "."), n)
}

func setOrigin(n *node, origin string) {
	n.origin = origin
	for _, f := range n.fields {
		setOrigin(f, origin)
	}
	for _, i := range n.list {
		setOrigin(i, origin)
	}
}

// driverPaths lists the paths in tree where a driver's own options stand. An
// option block of a driver that is not chosen is allowed too: it waits.
func driverPaths(tree *node, is func(path string) bool) map[string]bool {
	out := map[string]bool{}
	if is == nil {
		return out
	}
	mark := func(prefix string, n *node) {
		if n == nil {
			return
		}
		for _, key := range n.order {
			if path := join(prefix, key); is(path) {
				out[path] = true
			}
		}
	}
	for _, top := range []string{"storage", "cache", "identity"} {
		mark(top, tree.at(top))
	}
	if agents := tree.at("agents"); agents != nil {
		for _, name := range agents.order {
			mark("agents."+name, agents.fields[name])
		}
	}
	return out
}

// expand replaces ${env:NAME}, ${env:NAME:-default} and ${file:path} in all values.
func expand(n *node, env *environ, d *decoder, path string) {
	for _, key := range n.order {
		expand(n.fields[key], env, d, join(path, key))
	}
	for i, item := range n.list {
		expand(item, env, d, fmt.Sprintf("%s[%d]", path, i))
	}
	if n.scalar == nil || !strings.Contains(*n.scalar, "${") {
		return
	}
	var (
		out  strings.Builder
		rest = *n.scalar
	)
	for {
		head, tail, found := strings.Cut(rest, "${")
		out.WriteString(head)
		if !found {
			break
		}
		ref, after, closed := strings.Cut(tail, "}")
		if !closed {
			d.fail(n, path, "a ${…} is not closed")
			return
		}
		text, err := env.resolve(ref)
		if err != nil {
			d.fail(n, path, "%v", err)
			return
		}
		out.WriteString(text)
		rest = after
	}
	text := out.String()
	n.scalar = &text
}
