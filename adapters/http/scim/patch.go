package scim

import (
	"strings"

	"agentapi/domain/fault"
)

// maxOperations is how many operations a patch may have.
const maxOperations = 10_000

// operation is one change of a patch.
type operation struct {
	op    string // add, replace or remove
	path  string // in lower case, without its schema; empty: the value names attributes
	which *test  // of several values the one that is meant; nil: all
	value any
}

// operations reads a patch. Providers spell op in their own ways.
func operations(o object) ([]operation, error) {
	all, ok := o["operations"].([]any)
	if !ok || len(all) == 0 || len(all) > maxOperations {
		return nil, fault.Invalidf("Operations", "invalid_syntax", "Operations must be a list of 1 to %d operations.", maxOperations)
	}
	out := make([]operation, len(all))
	for i, v := range all {
		m, ok := lower(v)
		if !ok {
			return nil, fault.Invalidf("Operations", "invalid_syntax", "An operation must be an object.")
		}
		op, err := text("op", m["op"])
		if err != nil {
			return nil, err
		}
		path, err := text("path", m["path"])
		if err != nil {
			return nil, err
		}
		out[i] = operation{op: strings.ToLower(op), value: m["value"]}
		switch out[i].op {
		case "add", "replace":
		case "remove":
			if path == "" {
				return nil, fault.Invalidf("path", "no_target", "What is to be removed is not said: remove needs a path.")
			}
		default:
			return nil, fault.Invalidf("op", "invalid_syntax", "op must be add, replace or remove.")
		}
		if path == "" {
			if _, ok := lower(m["value"]); !ok {
				return nil, fault.Invalidf("value", "invalid_value", "Without a path the value must be an object of attributes.")
			}
			continue
		}
		if out[i].path, out[i].which, err = pathOf(path); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// pathOf reads a path such as name.givenName or members[value eq "2819c223"].
func pathOf(path string) (name string, which *test, err error) {
	bad := fault.Invalidf("path", "invalid_path", "The path is none.")
	head, rest, several := strings.Cut(path, "[")
	if several {
		inside, after, ok := strings.Cut(rest, "]")
		if !ok {
			return "", nil, bad
		}
		tests, err := filter(inside)
		if err != nil || len(tests) != 1 {
			return "", nil, bad.WithHint(`A path chooses one value, such as members[value eq "2819c223"].`)
		}
		which, head = &tests[0], head+after
	}
	for _, b := range []byte(head) {
		if (b|0x20 < 'a' || b|0x20 > 'z') && (b < '0' || b > '9') && !strings.ContainsRune(".:_-$", rune(b)) {
			return "", nil, bad
		}
	}
	if head == "" || strings.HasPrefix(head, ".") || strings.HasSuffix(head, ".") {
		return "", nil, bad
	}
	return strings.ToLower(plain(head)), which, nil
}

// fixed tells whether an attribute is the server's own.
func fixed(path string) bool {
	name, _, _ := strings.Cut(path, ".")
	return name == "id" || name == "meta" || name == "schemas"
}

// isFixed is the fault of who wants to change what is the server's own.
func isFixed(path string) error {
	return fault.Invalidf(path, "mutability", "%s is the server's own, and cannot be changed.", path)
}
