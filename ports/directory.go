package ports

import (
	"context"
	"time"

	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Directory knows organisations, users, who belongs where, and API keys. What is
// not there is fault.NotFound with code org_not_found, user_not_found,
// member_not_found, key_not_found or invitation_not_found. A zero Realm matches nothing: reads find
// nothing and writes are fault.Forbidden. Each change function gets the current
// state and may run more than once; its own error is returned as it is and nothing
// is stored; Version becomes one more than it saw, and ids and Created stay.
// Lists are by id, which is by creation for what was made here.
type Directory interface {
	// Standing returns what is known of a user in an organisation: parts that are not
	// there are nil, and that is no error.
	Standing(ctx context.Context, org tenancy.OrgID, user tenancy.UserID) (tenancy.Standing, error)
	// Enrol stores those parts of a standing that are not nil and not there yet, as
	// they are; what is there stays as it is.
	Enrol(ctx context.Context, s tenancy.Standing) error
	// Allowances returns which limits were given to the scope's organisation and user, and
	// to a key of the organisation (zero: none); nothing for what is not there.
	Allowances(ctx context.Context, in tenancy.Scope, key tenancy.KeyID) (tenancy.Allowances, error)

	Orgs(ctx context.Context, f tenancy.OrgFilter, q page.Query) (page.Of[*tenancy.Org], error)
	Org(ctx context.Context, id tenancy.OrgID) (*tenancy.Org, error)
	UpdateOrg(ctx context.Context, id tenancy.OrgID, change func(*tenancy.Org) error) error

	// Users returns users of all organisations.
	Users(ctx context.Context, f tenancy.UserFilter, q page.Query) (page.Of[*tenancy.User], error)
	// UpdateUser changes a user. others is how many other active users are platform
	// admins, counted in the same atomic step.
	UpdateUser(ctx context.Context, id tenancy.UserID, change func(u *tenancy.User, others int) error) error

	Members(ctx context.Context, in tenancy.Realm, f tenancy.MemberFilter, q page.Query) (page.Of[*tenancy.Member], error)
	Member(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (*tenancy.Member, error)
	UpdateMember(ctx context.Context, in tenancy.Realm, user tenancy.UserID, change func(*tenancy.Member) error) error
	// RemoveMember takes a user out of the organisation, with all keys.
	RemoveMember(ctx context.Context, in tenancy.Realm, user tenancy.UserID) error

	// CreateKey stores a new key in version 1. fault.Conflict: its id is taken.
	CreateKey(ctx context.Context, in tenancy.Realm, k *tenancy.APIKey) error
	// FindKey returns a key of whatever organisation, for who presents it.
	FindKey(ctx context.Context, id tenancy.KeyID) (*tenancy.APIKey, error)
	// Keys returns keys of the organisation; revoked and expired ones, too, unless f
	// says otherwise.
	Keys(ctx context.Context, in tenancy.Realm, f tenancy.KeyFilter, q page.Query) (page.Of[*tenancy.APIKey], error)
	Key(ctx context.Context, in tenancy.Realm, id tenancy.KeyID) (*tenancy.APIKey, error)
	UpdateKey(ctx context.Context, in tenancy.Realm, id tenancy.KeyID, change func(*tenancy.APIKey) error) error
	// TouchKey notes that a key was used at a moment, which is no new version of it. It
	// does nothing where the key is not there.
	TouchKey(ctx context.Context, in tenancy.Realm, id tenancy.KeyID, at time.Time) error

	// CreateInvitation stores a new invitation in version 1. Those to the same address
	// whose time has passed when it was created become expired. fault.Conflict: one is
	// pending in the organisation, and of several that come at once all but one meet
	// that; its code is invitation_exists where it was there before.
	CreateInvitation(ctx context.Context, in tenancy.Realm, i *tenancy.Invitation) error
	// FindInvitation returns the first invitation to an address that is pending at a
	// moment in an active organisation of the issuer's, for who names none.
	FindInvitation(ctx context.Context, issuer, email string, at time.Time) (*tenancy.Invitation, error)
	Invitations(ctx context.Context, in tenancy.Realm, f tenancy.InvitationFilter, q page.Query) (page.Of[*tenancy.Invitation], error)
	Invitation(ctx context.Context, in tenancy.Realm, id tenancy.InvitationID) (*tenancy.Invitation, error)
	// UpdateInvitation changes an invitation; its address stays.
	UpdateInvitation(ctx context.Context, in tenancy.Realm, id tenancy.InvitationID, change func(*tenancy.Invitation) error) error
}
