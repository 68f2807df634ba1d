package configs

import (
	"slices"
	"strings"
)

// Differs lists the settings that are not as they are in another configuration, by
// path, secret ones included; where they come from does not matter.
func (c *Config) Differs(from *Config) []string {
	out := differ(c.tree, from.tree, "", nil)
	slices.Sort(out)
	return out
}

func differ(a, b *node, path string, out []string) []string {
	if !isObject(a) && !isObject(b) {
		if !equal(a, b) {
			out = append(out, path)
		}
		return out
	}
	if a != nil && !isObject(a) || b != nil && !isObject(b) {
		out = append(out, path)
	}
	for _, key := range keys(a, b) {
		out = differ(child(a, key), child(b, key), join(path, key), out)
	}
	return out
}

func isObject(n *node) bool { return n != nil && n.fields != nil }

// equal compares values that are no objects.
func equal(a, b *node) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.isNull() == b.isNull() && flow(a) == flow(b) && same(a.list, b.list)
}

// same compares lists, of objects too.
func same(a, b []*node) bool {
	return slices.EqualFunc(a, b, func(x, y *node) bool { return len(differ(x, y, "x", nil)) == 0 })
}

func child(n *node, key string) *node {
	if n == nil {
		return nil
	}
	return n.fields[key]
}

// keys are all fields of both.
func keys(a, b *node) (out []string) {
	for _, n := range []*node{a, b} {
		if n == nil {
			continue
		}
		for key := range n.fields {
			if !slices.Contains(out, key) {
				out = append(out, key)
			}
		}
	}
	return out
}

// Under tells whether a setting is one of those at a path, or the path itself.
func Under(setting, path string) bool {
	rest, ok := strings.CutPrefix(setting, path)
	return ok && (rest == "" || rest[0] == '.')
}
