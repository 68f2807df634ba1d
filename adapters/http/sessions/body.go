package sessions

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"agentapi/adapters/http/request"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
	"agentapi/domain/session"
)

// keySource is where a key that a session is opened with belongs: a request that
// has it in this header goes on with the session.
const keySource = "X-Session-Id"

// wish is what the body of a request wants a session to be.
type wish struct {
	edit session.Edit
	key  session.Key
}

// wishOf reads a body with some of the members title, key, metadata and archived.
func wishOf(body []byte, takes ...string) (w wish, err error) {
	r := jsontext.NewReader(body)
	if k := r.Kind(); k != 0 && k != '{' {
		if _, err := r.Value(); err != nil {
			return w, request.Syntax(err)
		}
		return w, fault.Invalidf("", "invalid_request", "The request body must be a JSON object.")
	}
	err = r.Object(func(name []byte) error {
		n := string(name)
		if !slices.Contains(takes, n) {
			n = clip(n)
			return fault.Invalidf(n, "unknown_parameter", "Unknown parameter: '%s'.", n).WithHint("The body takes " + strings.Join(takes, ", ") + ".")
		}
		return w.member(r, n)
	})
	if err == nil {
		err = r.End()
	}
	return w, request.Syntax(err)
}

func (w *wish) member(r *jsontext.Reader, name string) error {
	kind := r.Kind()
	switch name {
	case "title", "key":
		if kind != '"' {
			return wrongType(r, name, "a string")
		}
		text, err := r.String()
		if err != nil {
			return err
		}
		if name == "title" {
			w.edit.Title = &text
			return nil
		}
		if !session.ValidKey(text) {
			return fault.Invalidf("key", "invalid_value", "key must have 1 to %d characters, none of them a control character, and not begin with sess_.", session.MaxKey)
		}
		w.key = session.Key{Source: keySource, Value: text}
		return nil
	case "archived":
		if kind != 't' && kind != 'f' {
			return wrongType(r, name, "a boolean")
		}
		is, err := r.Bool()
		w.edit.Archived = &is
		return err
	default:
		return w.metadata(r)
	}
}

// metadata reads a merge patch of the pairs.
func (w *wish) metadata(r *jsontext.Reader) error {
	switch r.Kind() {
	case 'n':
		w.edit.Forget = true
		return r.Null()
	case '{':
	default:
		return wrongType(r, "metadata", "an object of strings")
	}
	w.edit.Metadata = map[string]*string{}
	return r.Object(func(name []byte) error {
		n := string(name)
		switch r.Kind() {
		case 'n':
			w.edit.Metadata[n] = nil
			return r.Null()
		case '"':
			text, err := r.String()
			w.edit.Metadata[n] = &text
			return err
		default:
			return wrongType(r, "metadata."+clip(n), "a string")
		}
	})
}

// wrongType says so, unless no value is there at all.
func wrongType(r *jsontext.Reader, param, want string) error {
	if _, err := r.Value(); err != nil {
		return err
	}
	return fault.Invalidf(param, "invalid_type", "Invalid type for '%s': it must be %s.", param, want)
}

// clip shortens a name that a stranger chose.
func clip(name string) string {
	const most = 64
	if utf8.RuneCountInString(name) <= most {
		return name
	}
	return fmt.Sprintf("%s…", string([]rune(name)[:most]))
}
