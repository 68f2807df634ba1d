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
// member_not_found or key_not_found. A zero Realm matches nothing: reads find
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

	Orgs(ctx context.Context, q page.Query) (page.Of[*tenancy.Org], error)
	Org(ctx context.Context, id tenancy.OrgID) (*tenancy.Org, error)
	UpdateOrg(ctx context.Context, id tenancy.OrgID, change func(*tenancy.Org) error) error

	// Users returns users of all organisations; platform: only those with a role on
	// the platform.
	Users(ctx context.Context, platform bool, q page.Query) (page.Of[*tenancy.User], error)
	// UpdateUser changes a user. others is how many other active users are platform
	// admins, counted in the same atomic step.
	UpdateUser(ctx context.Context, id tenancy.UserID, change func(u *tenancy.User, others int) error) error

	Members(ctx context.Context, in tenancy.Realm, q page.Query) (page.Of[*tenancy.Member], error)
	Member(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (*tenancy.Member, error)
	UpdateMember(ctx context.Context, in tenancy.Realm, user tenancy.UserID, change func(*tenancy.Member) error) error
	// RemoveMember takes a user out of the organisation, with all keys.
	RemoveMember(ctx context.Context, in tenancy.Realm, user tenancy.UserID) error

	// CreateKey stores a new key in version 1. fault.Conflict: its id is taken.
	CreateKey(ctx context.Context, in tenancy.Realm, k *tenancy.APIKey) error
	// FindKey returns a key of whatever organisation, for who presents it.
	FindKey(ctx context.Context, id tenancy.KeyID) (*tenancy.APIKey, error)
	// Keys returns the keys of one owner, or all of the organisation where owner is
	// zero; revoked and expired ones, too.
	Keys(ctx context.Context, in tenancy.Realm, owner tenancy.UserID, q page.Query) (page.Of[*tenancy.APIKey], error)
	Key(ctx context.Context, in tenancy.Realm, id tenancy.KeyID) (*tenancy.APIKey, error)
	UpdateKey(ctx context.Context, in tenancy.Realm, id tenancy.KeyID, change func(*tenancy.APIKey) error) error
	// TouchKey notes that a key was used at a moment, which is no new version of it. It
	// does nothing where the key is not there.
	TouchKey(ctx context.Context, in tenancy.Realm, id tenancy.KeyID, at time.Time) error
}
