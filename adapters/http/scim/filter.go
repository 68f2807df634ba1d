package scim

import (
	"encoding/json"
	"strings"

	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

// maxFilter is how many bytes a filter may have.
const maxFilter = 2000

// test is that an attribute has a value.
type test struct {
	attribute string // in lower case, without its schema
	value     any    // a string or a boolean
}

func badFilter(format string, args ...any) error {
	return fault.Invalidf("filter", "invalid_filter", format, args...).WithHint(`Filters are of the form: userName eq "ann" and active eq true.`)
}

// filter reads a filter: comparisons by eq, with and between them.
func filter(text string) (tests []test, err error) {
	if len(text) > maxFilter {
		return nil, badFilter("The filter is longer than %d bytes.", maxFilter)
	}
	rest := strings.TrimSpace(text)
	for rest != "" {
		var t test
		if t, rest, err = comparison(rest); err != nil {
			return nil, err
		}
		tests = append(tests, t)
		if rest == "" {
			return tests, nil
		}
		word, after, _ := strings.Cut(rest, " ")
		if !strings.EqualFold(word, "and") || strings.TrimSpace(after) == "" {
			return nil, badFilter("Comparisons are joined by and, and by nothing else.")
		}
		rest = strings.TrimSpace(after)
	}
	return tests, nil
}

// comparison reads the first comparison of a text, and gives what follows it.
func comparison(text string) (t test, rest string, err error) {
	name, rest, ok := attribute(text)
	if !ok {
		return t, "", badFilter("The filter has no attribute to compare where one should be.")
	}
	op, rest, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	if !strings.EqualFold(op, "eq") {
		return t, "", badFilter("Values are compared by eq only.")
	}
	t.attribute = strings.ToLower(plain(name))
	t.value, rest, err = value(strings.TrimLeft(rest, " "))
	return t, strings.TrimSpace(rest), err
}

// attribute reads the name of an attribute, with a filter of its values if it has one.
func attribute(text string) (name, rest string, ok bool) {
	i := strings.IndexAny(text, " [")
	if i <= 0 {
		return "", "", false
	}
	name, rest = text[:i], text[i:]
	if rest[0] == '[' {
		inside, after, ok := strings.Cut(rest[1:], "]")
		if !ok {
			return "", "", false
		}
		if tests, err := filter(inside); err != nil || len(tests) != 1 || !strings.EqualFold(name, "emails") || !ours(tests[0]) {
			return "", "", false
		}
		sub, after, _ := strings.Cut(after, " ")
		name, rest = name+sub, " "+after
	}
	for _, b := range []byte(name) {
		if (b|0x20 < 'a' || b|0x20 > 'z') && (b < '0' || b > '9') && !strings.ContainsRune(".:_-$", rune(b)) {
			return "", "", false
		}
	}
	return name, rest, true
}

// ours tells whether a test of an address's means the one that is kept.
func ours(t test) bool {
	return t.attribute == "type" && t.value == any("work") || t.attribute == "primary" && t.value == any(true)
}

// value reads a JSON string, true or false, and gives what follows it.
func value(text string) (v any, rest string, err error) {
	bad := badFilter("The filter compares with something that is neither a JSON string nor true or false.")
	if !strings.HasPrefix(text, `"`) {
		word, rest, _ := strings.Cut(text, " ")
		switch strings.ToLower(word) {
		case "true", "false":
			return strings.EqualFold(word, "true"), rest, nil
		}
		return nil, "", bad
	}
	end := 1
	for end < len(text) && text[end] != '"' {
		if text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(text) {
		return nil, "", bad
	}
	s, err := jsontext.NewReader([]byte(text[:end+1])).String()
	if err != nil || !json.Valid([]byte(text[:end+1])) {
		return nil, "", bad
	}
	rest = text[end+1:]
	if rest != "" && rest[0] != ' ' {
		return nil, "", bad
	}
	return s, rest, nil
}

// words gives a test's value where it is a string.
func (t test) words() (*string, error) {
	s, ok := t.value.(string)
	if !ok {
		return nil, badFilter("%s is compared with a string.", t.attribute)
	}
	return &s, nil
}

// truth gives a test's value where it is a boolean.
func (t test) truth() (*bool, error) {
	b, err := boolean(t.attribute, t.value)
	if err != nil {
		return nil, badFilter("%s is compared with true or false.", t.attribute)
	}
	return &b, nil
}
