package session

import (
	"strings"
	"time"
	"unicode/utf8"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Status is the state of the sessions that a list shall have.
type Status string

// The states.
const (
	Any      Status = "all"
	Open     Status = "open"
	Archived Status = "archived"
)

// MaxSearch is how many characters a filter's text may have.
const MaxSearch = 200

// Filter chooses sessions of a list; what is zero chooses all.
type Filter struct {
	Status Status         // Any, if it is empty
	Agent  agent.Name     // of the last turn
	Model  string         // of the last turn
	Since  time.Time      // created then or later
	Until  time.Time      // created before
	Title  string         // a part of the title, in upper or lower case
	User   tenancy.UserID // whose they are, in a list of everybody's
}

// Check refuses a filter that can choose nothing sensible. fault.Invalid.
func (f *Filter) Check() error {
	switch f.Status {
	case "", Any, Open, Archived:
	default:
		return fault.Invalidf("status", "invalid_value", "status must be open, archived or all.")
	}
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if y := at.UTC().Year(); !at.IsZero() && (y < 1970 || y > 9999) {
			return fault.Invalidf(name, "out_of_range", "%s must lie between the years 1970 and 9999.", name)
		}
	}
	for _, p := range []struct{ name, text string }{{"agent", string(f.Agent)}, {"model", f.Model}, {"q", f.Title}} {
		if utf8.RuneCountInString(p.text) > MaxSearch {
			return fault.Invalidf(p.name, "string_too_long", "%s may have at most %d characters.", p.name, MaxSearch)
		}
		if !plain(p.text) {
			return fault.Invalidf(p.name, "invalid_content", "%s may hold no control characters.", p.name)
		}
	}
	return nil
}

// Chooses tells whether the filter chooses the session.
func (f *Filter) Chooses(s *Session) bool {
	return (f.Status != Open || !s.Archived) && (f.Status != Archived || s.Archived) &&
		(f.Agent == "" || s.Agent == f.Agent) && (f.Model == "" || s.Model == f.Model) &&
		(f.Since.IsZero() || !s.Created.Before(Moment(f.Since))) && (f.Until.IsZero() || s.Created.Before(Moment(f.Until))) &&
		(f.Title == "" || strings.Contains(Folded(s.Title), Folded(f.Title))) &&
		(f.User.IsZero() || s.User == f.User)
}

// Folded is a title as it is searched in: one rule for all storages, whose own
// differ in what they take for the lower case of a letter.
func Folded(title string) string { return strings.ToLower(title) }
