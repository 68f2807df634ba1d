// Package roster is what an identity provider says of an organisation: who its
// people are, and what groups they are in.
package roster

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// maxText is how many characters the provider's words for something may have.
const maxText = 255

// Person is a member of an organisation in the provider's words.
type Person struct {
	Org       tenancy.OrgID
	User      tenancy.UserID // who it is here, where the person is a member
	External  string         // the provider's id; may be empty
	UserName  string         // unique in the organisation, whatever its case
	Given     string
	Family    string
	Formatted string // the whole name
	Display   string
	Email     string
	Version   int
	Created   time.Time
	Updated   time.Time

	// Active and Membership are the membership's status and version. They are read
	// with the person, and changed with the member only.
	Active     bool
	Membership int
}

// Tag tells one state of the person and the membership from another; it only grows.
func (p *Person) Tag() int { return p.Version + p.Membership }

// Title is what people call the person.
func (p *Person) Title() string {
	for _, s := range []string{p.Display, p.Formatted, strings.TrimSpace(p.Given + " " + p.Family), p.UserName} {
		if s != "" {
			return clip(s)
		}
	}
	return ""
}

// clip shortens a name to what a member's may have.
func clip(s string) string {
	const most = 120
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most])
}

// Check refuses what cannot be kept. fault.Invalid.
func (p *Person) Check() error {
	if strings.TrimSpace(p.UserName) == "" {
		return fault.Invalidf("userName", "invalid_value", "userName is missing.")
	}
	for param, s := range map[string]string{
		"userName": p.UserName, "externalId": p.External, "name.givenName": p.Given, "name.familyName": p.Family,
		"name.formatted": p.Formatted, "displayName": p.Display, "emails.value": p.Email,
	} {
		if err := check(param, s); err != nil {
			return err
		}
	}
	return nil
}

func check(param, s string) error {
	if utf8.RuneCountInString(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fault.Invalidf(param, "invalid_value", "%s may have %d characters, none of them a control character.", param, maxText)
	}
	return nil
}

// Fold spells a name as it is compared, whatever its case.
func Fold(s string) string { return strings.ToLower(s) }

// Filter chooses people; nil chooses all. Names and addresses are compared
// whatever their case.
type Filter struct {
	User     *tenancy.UserID
	UserName *string
	External *string
	Email    *string
	Active   *bool
}

// Chooses tells whether the filter chooses the person.
func (f *Filter) Chooses(p *Person) bool {
	return (f.User == nil || *f.User == p.User) && same(f.UserName, p.UserName) && (f.External == nil || *f.External == p.External) &&
		same(f.Email, p.Email) && (f.Active == nil || *f.Active == p.Active)
}

func same(wish *string, have string) bool { return wish == nil || Fold(*wish) == Fold(have) }

// NoPerson is the fault of somebody who is not on the roster.
func NoPerson() error { return fault.NotFoundf("user_not_found", "There is no such user.") }

// Taken is the fault of a second one by the same name.
func Taken(what string) *fault.Error {
	return fault.New(fault.Conflict, "There is one with this %s already.", what).WithCode("uniqueness").WithParam(what)
}
