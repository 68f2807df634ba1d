package tenancy

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"agentapi/domain/fault"
)

// MaxSearch is how many characters the text of a filter may have.
const MaxSearch = 120

// CheckSearch refuses a text that nothing can be found by.
func CheckSearch(param, text string) error {
	if n := utf8.RuneCountInString(text); n < 1 || n > MaxSearch || !utf8.ValidString(text) || containsControl(text) {
		return fault.Invalidf(param, "invalid_value", "%s must have 1 to %d characters, none of them a control character.", param, MaxSearch)
	}
	return nil
}

// CheckStatus refuses a status that nothing of a kind has; closed is an organisation's.
func CheckStatus(s Status, org bool) error {
	switch {
	case s == Active, s == Suspended, s == Closed && org:
		return nil
	case org:
		return badStatus(s, "active, suspended or closed")
	default:
		return badStatus(s, "active or suspended")
	}
}

// folded is a text as it is searched in: one rule for all storages, whose own differ
// in what they take for the lower case of a letter.
func folded(s string) string { return strings.ToLower(s) }

// OrgFilter chooses organisations; what is zero chooses all.
type OrgFilter struct {
	Status Status
	Text   string // how the title begins, in upper or lower case, or the whole name at the issuer
}

// Folded is the title as it is searched in.
func (o *Org) Folded() string { return folded(o.Title) }

// Prefix is how a title that is looked for begins, and what comes behind all that do.
func (f *OrgFilter) Prefix() (from, to string) { return between(folded(f.Text)) }

// Chooses tells whether the filter chooses the organisation.
func (f *OrgFilter) Chooses(o *Org) bool {
	return (f.Status == "" || o.Status == f.Status) && (f.Text == "" || o.Name == f.Text || strings.HasPrefix(o.Folded(), folded(f.Text)))
}

// UserFilter chooses users of all organisations; what is zero chooses all.
type UserFilter struct {
	Platform bool // only those with a role on the platform
	Status   Status
	Text     string // how the subject begins
	IDs      []UserID
}

// Prefix is how a subject that is looked for begins, and what comes behind all that do.
func (f *UserFilter) Prefix() (from, to string) { return between(f.Text) }

// Chooses tells whether the filter chooses the user.
func (f *UserFilter) Chooses(u *User) bool {
	return (!f.Platform || u.Platform != "") && (f.Status == "" || u.Status == f.Status) && strings.HasPrefix(u.Subject, f.Text) &&
		(f.IDs == nil || slices.Contains(f.IDs, u.ID))
}

// between are the bounds of all texts that begin alike.
func between(prefix string) (from, to string) { return prefix, prefix + string(utf8.MaxRune) }

// MemberFilter chooses members of an organisation; what is zero chooses all.
type MemberFilter struct {
	Roles  []Role
	Status Status
	Text   string   // a part of the name or the e-mail address, in upper or lower case
	Emails []string // whole addresses, compared as invitations are
	Users  []UserID
}

// Folded is the name and the address as they are searched in.
func (m *Member) Folded() string { return folded(m.Name + "\n" + m.Email) }

// Pattern is what Folded must contain.
func (f *MemberFilter) Pattern() string { return folded(f.Text) }

// Chooses tells whether the filter chooses the member.
func (f *MemberFilter) Chooses(m *Member) bool {
	return (f.Roles == nil || slices.Contains(f.Roles, m.Role)) && (f.Status == "" || m.Status == f.Status) &&
		strings.Contains(m.Folded(), f.Pattern()) && (f.Users == nil || slices.Contains(f.Users, m.User)) &&
		(f.Emails == nil || slices.ContainsFunc(f.Emails, func(e string) bool { return FoldEmail(e) == FoldEmail(m.Email) }))
}

// KeyFilter chooses API keys; what is zero chooses all.
type KeyFilter struct {
	Owner UserID
	Roles []Role
	Kept  bool // not those that were revoked
	IDs   []KeyID
}

// Chooses tells whether the filter chooses the key.
func (f *KeyFilter) Chooses(k *APIKey) bool {
	return (f.Owner.IsZero() || k.User == f.Owner) && (f.Roles == nil || slices.Contains(f.Roles, k.Role)) && (!f.Kept || k.Revoked.IsZero()) &&
		(f.IDs == nil || slices.Contains(f.IDs, k.ID))
}

// InvitationFilter chooses invitations; what is zero chooses all.
type InvitationFilter struct {
	Status []InvitationStatus // at the moment At
	At     time.Time
	Email  string // compared without regard to upper and lower case
}

// Chooses tells whether the filter chooses the invitation.
func (f *InvitationFilter) Chooses(i *Invitation) bool {
	return (f.Status == nil || slices.Contains(f.Status, i.StatusAt(f.At))) && (f.Email == "" || FoldEmail(i.Email) == FoldEmail(f.Email))
}
