package ports

import (
	"context"

	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Roster keeps what an identity provider says of an organisation. Who is not there
// is fault.NotFound with code user_not_found, a group group_not_found. A zero Realm
// matches nothing: reads find nothing and writes are fault.Forbidden. Each change
// function gets the current state and may run more than once; its own error is
// returned as it is and nothing is stored; Version becomes one more than it saw, and
// ids and Created stay. Lists are by id: they leave out skip and give at most most,
// and say how many there are in all.
type Roster interface {
	// AddPerson stores somebody in version 1. fault.NotFound, code member_not_found:
	// they are no member. fault.Conflict, code uniqueness: they are there, or somebody
	// with the user name.
	AddPerson(ctx context.Context, in tenancy.Realm, p *roster.Person) error
	// Person gives somebody as the membership makes them active. Who leaves the
	// organisation is gone from here, too.
	Person(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (*roster.Person, error)
	People(ctx context.Context, in tenancy.Realm, f roster.Filter, skip, most int) (found []*roster.Person, total int, err error)
	// UpdatePerson changes somebody, but not whether they are active. fault.Conflict,
	// code uniqueness: the user name is taken.
	UpdatePerson(ctx context.Context, in tenancy.Realm, user tenancy.UserID, change func(*roster.Person) error) error

	// AddGroup stores a group in version 1. fault.Conflict, code uniqueness: the name is
	// taken.
	AddGroup(ctx context.Context, in tenancy.Realm, g *roster.Group) error
	Group(ctx context.Context, in tenancy.Realm, id roster.GroupID) (*roster.Group, error)
	Groups(ctx context.Context, in tenancy.Realm, f roster.GroupFilter, skip, most int) (found []*roster.Group, total int, err error)
	// UpdateGroup changes a group. fault.Conflict, code uniqueness: the name is taken.
	UpdateGroup(ctx context.Context, in tenancy.Realm, id roster.GroupID, change func(*roster.Group) error) error
	RemoveGroup(ctx context.Context, in tenancy.Realm, id roster.GroupID) error
	// Enlist puts people into a group and takes others out; who is in, or out, already
	// is passed over. fault.NotFound: the group, or somebody to put in, is not there.
	Enlist(ctx context.Context, in tenancy.Realm, id roster.GroupID, add, remove []tenancy.UserID) error
	// Enlisted gives who is in a group, by id; nobody, where it is not there.
	Enlisted(ctx context.Context, in tenancy.Realm, id roster.GroupID) ([]tenancy.UserID, error)
	// Belongs gives the groups that somebody is in, by id.
	Belongs(ctx context.Context, in tenancy.Realm, user tenancy.UserID) ([]*roster.Group, error)
	// Owners gives the active members who own the organisation, by id. In a transaction
	// they stay what they are until it ends.
	Owners(ctx context.Context, in tenancy.Realm) ([]tenancy.UserID, error)
}
