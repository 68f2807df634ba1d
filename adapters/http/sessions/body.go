package sessions

import (
	"agentapi/adapters/http/rest"
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

// takes reads these of the members title, key, metadata and archived.
func (w *wish) takes(names ...string) rest.Members {
	out := rest.Members{}
	for _, name := range names {
		out[name] = func(r *jsontext.Reader) error { return w.member(r, name) }
	}
	return out
}

func (w *wish) member(r *jsontext.Reader, name string) error {
	kind := r.Kind()
	switch name {
	case "title", "key":
		if kind != '"' {
			return rest.WrongType(r, name, "a string")
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
			return rest.WrongType(r, name, "a boolean")
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
		return rest.WrongType(r, "metadata", "an object of strings")
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
			return rest.WrongType(r, "metadata."+rest.Clip(n), "a string")
		}
	})
}
