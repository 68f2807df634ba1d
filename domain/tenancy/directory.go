package tenancy

import (
	"time"
	"unicode"
	"unicode/utf8"

	"agentapi/domain/fault"
	"agentapi/domain/quota"
)

// Status is whether an organisation or a user may do anything.
type Status string

// The statuses.
const (
	Active    Status = "active"
	Suspended Status = "suspended" // for a time: what it has is kept, and nobody gets in
	Closed    Status = "closed"    // of an organisation, for ever
)

// maxTitle is how many characters the name of something may have.
const maxTitle = 120

// Org is an organisation: the wall that no tenant's data crosses.
type Org struct {
	ID      OrgID
	Issuer  string // who named it: an OIDC issuer, "dev", or "agentapi" where it was made here
	Name    string // its name there, which never changes
	Title   string // what people call it
	Status  Status
	Keeps   Keeps
	Models  Models    // that it may ask for; empty: all
	Limits  quota.Own // that the platform has given it
	Version int       // counts changes, from 1 on
	Created time.Time
	Updated time.Time
}

// Keeps is how long an organisation wants what is stored of its users to be kept, if
// not as long as the server does; zero: as long.
type Keeps struct {
	Sessions time.Duration
	Usage    time.Duration
}

// User is a person or a service account, whatever organisations it belongs to.
// Nothing personal stands here.
type User struct {
	ID       UserID
	Issuer   string
	Subject  string
	Platform Role  // PlatformAdmin, PlatformAuditor, or empty
	Home     OrgID // where a token acts that names no organisation; zero: nowhere
	Status   Status
	Version  int
	Created  time.Time
	Updated  time.Time
}

// Member is a user within an organisation.
type Member struct {
	Org     OrgID
	User    UserID
	Name    string // of a person, or of a service account
	Email   string
	Role    Role
	Given   bool // the role was given here, and whatever a token says does not change it
	Status  Status
	Limits  quota.Own // that the organisation has given them
	Version int
	Created time.Time
	Updated time.Time
}

// Standing is what is known of a user in an organisation; a part is nil where it
// is not known.
type Standing struct {
	Org    *Org
	User   *User
	Member *Member
}

// Allowances is what those were given by whom a request is bound; nil: nothing.
type Allowances struct{ Org, User, Key quota.Own }

// Refusal says why a standing lets nobody in; nil: it does. All parts are known.
func (s Standing) Refusal() error {
	switch {
	case s.Org.Status != Active:
		return fault.New(fault.Forbidden, "Your organisation is %s.", s.Org.Status).WithCode("org_suspended").WithHint("Ask whoever runs this server.")
	case s.User.Status != Active, s.Member.Status != Active:
		return fault.New(fault.Forbidden, "Your account is suspended.").WithCode("account_suspended").WithHint("Ask an administrator of your organisation.")
	default:
		return nil
	}
}

// Edit is a wish to change an organisation, a user or a member; nil leaves a part
// as it is.
type Edit struct {
	Title  *string
	Status *Status
	Role   *Role // empty: whatever the token says, or no role on the platform
}

// Apply changes the organisation. fault.Invalid, fault.Conflict for one that is closed.
func (o *Org) Apply(e Edit, at time.Time) error {
	if o.Status == Closed {
		return fault.New(fault.Conflict, "The organisation is closed, for ever.").WithCode("org_closed")
	}
	if e.Title != nil {
		if err := ValidTitle("name", *e.Title); err != nil {
			return err
		}
		o.Title = *e.Title
	}
	if e.Status != nil {
		switch *e.Status {
		case Active, Suspended, Closed:
			o.Status = *e.Status
		default:
			return badStatus(*e.Status, "active, suspended or closed")
		}
	}
	o.Updated = at
	return nil
}

// Erase leaves of the organisation that there was one, which its issuer's tokens do
// not bring back.
func (o *Org) Erase(at time.Time) {
	o.Title, o.Status, o.Keeps, o.Models, o.Limits, o.Updated = o.ID.String(), Closed, Keeps{}, "", nil, at
}

// Administers is the fault of erasing somebody who administers the platform.
func Administers() error {
	return fault.New(fault.Conflict, "They administer the platform.").WithCode("platform_admin").WithHint("Dismiss them first.")
}

// Apply changes the user. fault.Invalid.
func (u *User) Apply(e Edit, at time.Time) error {
	if e.Role != nil {
		switch *e.Role {
		case "", PlatformAdmin, PlatformAuditor:
			u.Platform = *e.Role
		default:
			return fault.Invalidf("role", "invalid_value", "On the platform a user is platform_admin, platform_auditor or nothing.")
		}
	}
	if err := suspend(&u.Status, e.Status); err != nil {
		return err
	}
	u.Updated = at
	return nil
}

// Apply changes the member. fault.Invalid.
func (m *Member) Apply(e Edit, at time.Time) error {
	if e.Role != nil {
		switch *e.Role {
		case OrgOwner, OrgAdmin, OrgAuditor, OrgMember:
			if m.Role == Service {
				return fault.Invalidf("role", "invalid_value", "A service account keeps its role.")
			}
			m.Role, m.Given = *e.Role, true
		case "":
			m.Given = false
		default:
			return fault.Invalidf("role", "invalid_value", "%q is no role in an organisation (have org_owner, org_admin, org_auditor, org_member).", *e.Role)
		}
	}
	if err := suspend(&m.Status, e.Status); err != nil {
		return err
	}
	m.Updated = at
	return nil
}

func suspend(to *Status, wish *Status) error {
	if wish == nil {
		return nil
	}
	if *wish != Active && *wish != Suspended {
		return badStatus(*wish, "active or suspended")
	}
	*to = *wish
	return nil
}

func badStatus(s Status, have string) error {
	return fault.Invalidf("status", "invalid_value", "%q is not a status (have %s).", s, have)
}

// ValidTitle refuses a name of something that is empty, long, or not to be shown.
func ValidTitle(param, s string) error {
	if n := utf8.RuneCountInString(s); n < 1 || n > maxTitle || !utf8.ValidString(s) || containsControl(s) {
		return fault.Invalidf(param, "invalid_value", "%s must have 1 to %d characters, none of them a control character.", param, maxTitle)
	}
	return nil
}

func containsControl(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}
