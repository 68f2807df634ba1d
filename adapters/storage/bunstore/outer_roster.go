package bunstore

import (
	"context"

	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Roster is what identity providers say.
func (o *Outer) Roster() ports.Roster { return outerRoster{o} }

type outerRoster struct{ o *Outer }

func (r outerRoster) write(ctx context.Context, do func(context.Context, ports.Roster) error) error {
	return r.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return do(ctx, tx.Roster()) })
}

// some is a part of a list, and how long the list is.
type some[T any] struct {
	found []T
	total int
}

func (r outerRoster) AddPerson(ctx context.Context, in tenancy.Realm, p *roster.Person) error {
	return r.write(ctx, func(ctx context.Context, to ports.Roster) error { return to.AddPerson(ctx, in, p) })
}

func (r outerRoster) Person(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (*roster.Person, error) {
	return read(ctx, r.o, func(ctx context.Context, of *Repositories) (*roster.Person, error) {
		return of.Roster().Person(ctx, in, user)
	})
}

func (r outerRoster) People(ctx context.Context, in tenancy.Realm, f roster.Filter, skip, most int) ([]*roster.Person, int, error) {
	out, err := read(ctx, r.o, func(ctx context.Context, of *Repositories) (out some[*roster.Person], err error) {
		out.found, out.total, err = of.Roster().People(ctx, in, f, skip, most)
		return out, err
	})
	return out.found, out.total, err
}

func (r outerRoster) UpdatePerson(ctx context.Context, in tenancy.Realm, user tenancy.UserID, change func(*roster.Person) error) error {
	return r.write(ctx, func(ctx context.Context, to ports.Roster) error { return to.UpdatePerson(ctx, in, user, change) })
}

func (r outerRoster) AddGroup(ctx context.Context, in tenancy.Realm, g *roster.Group) error {
	return r.write(ctx, func(ctx context.Context, to ports.Roster) error { return to.AddGroup(ctx, in, g) })
}

func (r outerRoster) Group(ctx context.Context, in tenancy.Realm, id roster.GroupID) (*roster.Group, error) {
	return read(ctx, r.o, func(ctx context.Context, of *Repositories) (*roster.Group, error) {
		return of.Roster().Group(ctx, in, id)
	})
}

func (r outerRoster) Groups(ctx context.Context, in tenancy.Realm, f roster.GroupFilter, skip, most int) ([]*roster.Group, int, error) {
	out, err := read(ctx, r.o, func(ctx context.Context, of *Repositories) (out some[*roster.Group], err error) {
		out.found, out.total, err = of.Roster().Groups(ctx, in, f, skip, most)
		return out, err
	})
	return out.found, out.total, err
}

func (r outerRoster) UpdateGroup(ctx context.Context, in tenancy.Realm, id roster.GroupID, change func(*roster.Group) error) error {
	return r.write(ctx, func(ctx context.Context, to ports.Roster) error { return to.UpdateGroup(ctx, in, id, change) })
}

func (r outerRoster) RemoveGroup(ctx context.Context, in tenancy.Realm, id roster.GroupID) error {
	return r.write(ctx, func(ctx context.Context, to ports.Roster) error { return to.RemoveGroup(ctx, in, id) })
}

func (r outerRoster) Enlist(ctx context.Context, in tenancy.Realm, id roster.GroupID, add, remove []tenancy.UserID) error {
	return r.write(ctx, func(ctx context.Context, to ports.Roster) error { return to.Enlist(ctx, in, id, add, remove) })
}

func (r outerRoster) Enlisted(ctx context.Context, in tenancy.Realm, id roster.GroupID) ([]tenancy.UserID, error) {
	return read(ctx, r.o, func(ctx context.Context, of *Repositories) ([]tenancy.UserID, error) {
		return of.Roster().Enlisted(ctx, in, id)
	})
}

func (r outerRoster) Belongs(ctx context.Context, in tenancy.Realm, user tenancy.UserID) ([]*roster.Group, error) {
	return read(ctx, r.o, func(ctx context.Context, of *Repositories) ([]*roster.Group, error) {
		return of.Roster().Belongs(ctx, in, user)
	})
}

func (r outerRoster) Owners(ctx context.Context, in tenancy.Realm) ([]tenancy.UserID, error) {
	return read(ctx, r.o, func(ctx context.Context, of *Repositories) ([]tenancy.UserID, error) {
		return of.Roster().Owners(ctx, in)
	})
}
