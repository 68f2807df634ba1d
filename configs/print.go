package configs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Print renders the effective configuration as YAML, secrets masked; with
// origin, each value says where it comes from.
func (c *Config) Print(origin bool) string {
	var b strings.Builder
	printNode(&b, masked(c.tree, false), 0, origin)
	return b.String()
}

func printNode(b *strings.Builder, n *node, depth int, origin bool) {
	for _, key := range n.order {
		child := n.fields[key]
		fmt.Fprintf(b, "%s%s:", strings.Repeat("  ", depth), plainKey(key))
		switch {
		case child.fields != nil && len(child.order) > 0:
			b.WriteByte('\n')
			printNode(b, child, depth+1, origin)
			continue
		case child.list != nil && hasObjects(child):
			b.WriteByte('\n')
			for _, item := range child.list {
				var inner strings.Builder
				if item.fields == nil {
					inner.WriteString(flow(item))
				} else {
					printNode(&inner, item, 0, false)
				}
				for i, line := range strings.Split(strings.TrimRight(inner.String(), "\n"), "\n") {
					lead := "  "
					if i == 0 {
						lead = "- "
					}
					fmt.Fprintf(b, "%s%s%s\n", strings.Repeat("  ", depth+1), lead, line)
				}
			}
			continue
		case !child.isNull():
			b.WriteString(" " + flow(child))
		}
		if origin {
			fmt.Fprintf(b, "  # %s", child.origin)
		}
		b.WriteByte('\n')
	}
}

func hasObjects(n *node) bool {
	return slices.ContainsFunc(n.list, func(i *node) bool { return i.fields != nil })
}

// flow renders a value on one line.
func flow(n *node) string {
	switch {
	case n.list != nil:
		parts := make([]string, len(n.list))
		for i, item := range n.list {
			parts[i] = flow(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case n.fields != nil:
		return "{}"
	case n.scalar == nil:
		return "null"
	default:
		return plainScalar(*n.scalar)
	}
}

// plainScalar quotes what YAML would read as something else.
func plainScalar(s string) string {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-/", rune(c)) {
			return strconv.Quote(s)
		}
	}
	if s == "" || s[0] == '-' {
		return strconv.Quote(s)
	}
	return s
}

func plainKey(s string) string {
	if agentName(s) || !strings.ContainsAny(s, ":#{}[],&*!|>'\"%@` ") {
		return s
	}
	return strconv.Quote(s)
}

// Shown is what stands at path as a JSON object, without what is secret.
func (c *Config) Shown(path string) string {
	n := c.tree.at(path)
	if n == nil || n.fields == nil {
		return "{}"
	}
	text, err := json.Marshal(shown(n))
	if err != nil {
		return "{}" // it is made of maps, lists and strings
	}
	return string(text)
}

func shown(n *node) any {
	switch {
	case n.fields != nil:
		out := map[string]any{}
		for key, child := range n.fields {
			if !secretKey(key) {
				out[key] = shown(child)
			}
		}
		return out
	case n.list != nil:
		out := make([]any, len(n.list))
		for i, item := range n.list {
			out[i] = shown(item)
		}
		return out
	case n.scalar == nil:
		return nil
	default:
		return withoutSecrets(*n.scalar)
	}
}
