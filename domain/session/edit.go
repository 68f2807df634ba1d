package session

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"agentapi/domain/fault"
)

// The bounds of what a session's owner may write on it, in characters and pairs.
const (
	MaxTitle         = 200
	MaxMetadata      = 16
	MaxMetadataKey   = 64
	MaxMetadataValue = 512
)

// Edit is what an owner changes of a session; what is nil stays as it is.
type Edit struct {
	Title    *string
	Archived *bool
	// Metadata sets pairs, and removes those whose value is nil, after all are
	// removed where Forget says so.
	Metadata map[string]*string
	Forget   bool
}

// Apply changes the session at the moment at. fault.Invalid: the outcome breaks a
// bound, and the session is as it was.
func (s *Session) Apply(e Edit, at time.Time) error {
	next := *s
	if e.Title != nil {
		if err := checkText("title", *e.Title, 1, MaxTitle); err != nil {
			return err
		}
		next.Title = *e.Title
	}
	if e.Archived != nil {
		next.Archived = *e.Archived
	}
	if e.Forget {
		next.Metadata = nil
	}
	if len(e.Metadata) > 0 {
		var err error
		if next.Metadata, err = annotated(next.Metadata, e.Metadata); err != nil {
			return err
		}
	}
	next.Updated = Moment(at)
	*s = next
	return nil
}

// annotated gives the pairs of old with the changes made; nil where none are left.
func annotated(old map[string]string, changes map[string]*string) (map[string]string, error) {
	out := make(map[string]string, len(old)+len(changes))
	maps.Copy(out, old)
	for _, k := range slices.Sorted(maps.Keys(changes)) {
		v := changes[k]
		if v == nil {
			delete(out, k)
			continue
		}
		if err := checkText("metadata", k, 1, MaxMetadataKey); err != nil {
			return nil, err
		}
		if err := checkText("metadata."+k, *v, 0, MaxMetadataValue); err != nil {
			return nil, err
		}
		out[k] = *v
	}
	if len(out) > MaxMetadata {
		return nil, fault.Invalidf("metadata", "out_of_range", "metadata may have at most %d pairs.", MaxMetadata)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// checkText refuses a text that is too short or too long, or no plain text.
func checkText(param, text string, least, most int) error {
	what := param
	if param == "metadata" {
		what = "A key of metadata"
	}
	n := utf8.RuneCountInString(text)
	switch {
	case n < least:
		return fault.Invalidf(param, "invalid_value", "%s must not be empty.", what)
	case n > most:
		return fault.Invalidf(param, "string_too_long", "%s may have at most %d characters.", what, most)
	case !plain(text):
		return fault.Invalidf(param, "invalid_content", "%s may hold no control characters.", what)
	default:
		return nil
	}
}

func plain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// ValidKey tells whether value may be a conversation key of a client's own.
func ValidKey(value string) bool {
	return value != "" && utf8.RuneCountInString(value) <= MaxKey && !strings.HasPrefix(value, sessionKind{}.Prefix()+"_") &&
		!strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError })
}

// TakesTurns refuses a new turn in a session that is archived. fault.Conflict,
// code session_archived.
func (s *Session) TakesTurns() error {
	if !s.Archived {
		return nil
	}
	return fault.New(fault.Conflict, "The session is archived and takes no new turns.").WithCode("session_archived").
		WithHint(`Open it again with PATCH /api/v1/sessions/` + s.ID.String() + ` {"archived":false}, or start another.`)
}

// Expect refuses a session whose version is none of those that the caller knows;
// nil knows all. fault.Precondition.
func (s *Session) Expect(versions []int) error {
	if versions == nil || slices.Contains(versions, s.Version) {
		return nil
	}
	return fault.New(fault.Precondition, "The session has changed: its version is %d.", s.Version).
		WithHint("Read it again, and send its ETag in If-Match.")
}

// Clone is a copy that shares nothing with the session.
func (s *Session) Clone() *Session {
	c := *s
	c.Metadata = maps.Clone(s.Metadata)
	return &c
}
