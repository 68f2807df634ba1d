package configs

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// secretWords are the keys whose values are never shown; what ends in one of them
// after an underscore is one, too.
var secretWords = []string{"api_key", "token", "password", "secret", "dsn", "headers", "env", "key", "pepper"}

func secretKey(key string) bool {
	return slices.ContainsFunc(secretWords, func(w string) bool { return key == w || strings.HasSuffix(key, "_"+w) })
}

// masked is a copy of the tree in which no secret is left: all that shows the
// configuration to somebody shows this.
func masked(n *node, secret bool) *node {
	out := &node{order: n.order, quoted: n.quoted, origin: n.origin}
	switch {
	case n.fields != nil:
		out.fields = make(map[string]*node, len(n.fields))
		for key, child := range n.fields {
			out.fields[key] = masked(child, secret || secretKey(key))
		}
	case n.list != nil:
		out.list = make([]*node, len(n.list))
		for i, item := range n.list {
			out.list[i] = masked(item, secret)
		}
	case n.scalar == nil:
	case secret && *n.scalar != "":
		text := fmt.Sprintf("•••• (len %d)", len(*n.scalar))
		out.scalar = &text
	default:
		text := withoutSecrets(*n.scalar)
		out.scalar = &text
	}
	return out
}

var (
	userinfo   = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*://[^:/@]*):(.*)@`)
	webToken   = regexp.MustCompile(`^(https?://)[^:/@]+@`)
	assignment = regexp.MustCompile(`(?i)\b((?:[a-z0-9_-]*(?:password|passwd|pwd|secret|token|api[_-]?key|signature)|key|sig)\s*=\s*)("[^"]*"|'[^']*'|[^\s&;]+)`)
)

// withoutSecrets masks what is a secret within a text that is none: the password in
// an address, and what is assigned to a name of a secret, as in a query or a DSN.
func withoutSecrets(s string) string {
	u, err := url.Parse(s)
	s = assignment.ReplaceAllString(s, "$1••••") // first: what is assigned may hold an @
	if err != nil || u.User != nil {
		s = userinfo.ReplaceAllString(s, "$1:••••@")
		s = webToken.ReplaceAllString(s, "$1••••@")
	}
	return s
}

// Setting is one value of the effective configuration.
type Setting struct {
	Path   string // such as server.addr
	Value  any    // a text, a list, an object, or nil; secrets masked
	Origin string // a file's line, a variable, a flag, or default
}

// Settings gives all values, secrets masked, in the order of Print.
func (c *Config) Settings() []Setting {
	var out []Setting
	var walk func(n *node, path string)
	walk = func(n *node, path string) {
		if len(n.order) == 0 {
			out = append(out, Setting{Path: path, Value: plain(n), Origin: n.origin})
			return
		}
		for _, key := range n.order {
			walk(n.fields[key], join(path, key))
		}
	}
	walk(masked(c.tree, false), "")
	return out
}

// plain is a value without where it comes from.
func plain(n *node) any {
	switch {
	case n.fields != nil:
		out := make(map[string]any, len(n.fields))
		for key, child := range n.fields {
			out[key] = plain(child)
		}
		return out
	case n.list != nil:
		out := make([]any, len(n.list))
		for i, item := range n.list {
			out[i] = plain(item)
		}
		return out
	case n.scalar == nil:
		return nil
	default:
		return *n.scalar
	}
}
