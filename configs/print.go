package configs

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// secretWords end the names of what is never shown.
var secretWords = []string{"key", "token", "password", "pepper", "secret", "dsn", "headers", "env"}

// isSecret tells whether what stands under a key is never shown.
func isSecret(key string) bool {
	return slices.Contains(secretWords, key[strings.LastIndexByte(key, '_')+1:])
}

// Print renders the effective configuration as YAML, secrets masked; with
// origin, each value says where it comes from.
func (c *Config) Print(origin bool) string {
	var b strings.Builder
	printNode(&b, c.tree, 0, origin, false)
	return b.String()
}

func printNode(b *strings.Builder, n *node, depth int, origin, secret bool) {
	for _, key := range n.order {
		child := n.fields[key]
		hidden := secret || isSecret(key)
		fmt.Fprintf(b, "%s%s:", strings.Repeat("  ", depth), plainKey(key))
		switch {
		case child.fields != nil && len(child.order) > 0:
			b.WriteByte('\n')
			printNode(b, child, depth+1, origin, hidden)
			continue
		case child.list != nil && hasObjects(child):
			b.WriteByte('\n')
			for _, item := range child.list {
				var inner strings.Builder
				printNode(&inner, item, 0, false, hidden)
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
			b.WriteString(" " + flow(child, hidden))
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
func flow(n *node, hidden bool) string {
	switch {
	case n.list != nil:
		parts := make([]string, len(n.list))
		for i, item := range n.list {
			parts[i] = flow(item, hidden)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case n.fields != nil:
		return "{}"
	case n.scalar == nil:
		return "null"
	case hidden && *n.scalar != "":
		return fmt.Sprintf("%q", fmt.Sprintf("•••• (len %d)", len(*n.scalar)))
	default:
		return plainScalar(withoutPassword(*n.scalar))
	}
}

// What is secret within a text that is shown: the password of an address, up to the
// last @, and what is assigned to a name that says so, as in a database's DSN.
var (
	password = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^:/?#\s@]*:)\S*@`)
	bearer   = regexp.MustCompile(`(https?://)[^/?#\s@:]+@`)
	assigned = regexp.MustCompile(`(?i)((?:password|passwd|pwd|secret|token|key)\s*=\s*)('[^']*'|[^\s&;]+)`)
)

// withoutPassword masks what is secret in a text.
func withoutPassword(s string) string {
	s = password.ReplaceAllString(s, "${1}••••@")
	s = bearer.ReplaceAllString(s, "${1}••••@")
	return assigned.ReplaceAllString(s, "${1}••••")
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
			if !isSecret(key) {
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
		return withoutPassword(*n.scalar)
	}
}
