package bunstore

import (
	"context"
	"time"

	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Directory is who there is.
func (o *Outer) Directory() ports.Directory { return outerDirectory{o} }

type outerDirectory struct{ o *Outer }

func (d outerDirectory) write(ctx context.Context, do func(context.Context, ports.Directory) error) error {
	return d.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return do(ctx, tx.Directory()) })
}

func (d outerDirectory) Standing(ctx context.Context, org tenancy.OrgID, user tenancy.UserID) (tenancy.Standing, error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (tenancy.Standing, error) {
		return r.Directory().Standing(ctx, org, user)
	})
}

func (d outerDirectory) Enrol(ctx context.Context, s tenancy.Standing) error {
	return d.write(ctx, func(ctx context.Context, in ports.Directory) error { return in.Enrol(ctx, s) })
}

func (d outerDirectory) Allowances(ctx context.Context, in tenancy.Scope, key tenancy.KeyID) (tenancy.Allowances, error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (tenancy.Allowances, error) {
		return r.Directory().Allowances(ctx, in, key)
	})
}

func (d outerDirectory) Orgs(ctx context.Context, f tenancy.OrgFilter, q page.Query) (page.Of[*tenancy.Org], error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (page.Of[*tenancy.Org], error) {
		return r.Directory().Orgs(ctx, f, q)
	})
}

func (d outerDirectory) Org(ctx context.Context, id tenancy.OrgID) (*tenancy.Org, error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (*tenancy.Org, error) { return r.Directory().Org(ctx, id) })
}

func (d outerDirectory) UpdateOrg(ctx context.Context, id tenancy.OrgID, change func(*tenancy.Org) error) error {
	return d.write(ctx, func(ctx context.Context, in ports.Directory) error { return in.UpdateOrg(ctx, id, change) })
}

func (d outerDirectory) Users(ctx context.Context, f tenancy.UserFilter, q page.Query) (page.Of[*tenancy.User], error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (page.Of[*tenancy.User], error) {
		return r.Directory().Users(ctx, f, q)
	})
}

func (d outerDirectory) UpdateUser(ctx context.Context, id tenancy.UserID, change func(u *tenancy.User, others int) error) error {
	return d.write(ctx, func(ctx context.Context, in ports.Directory) error { return in.UpdateUser(ctx, id, change) })
}

func (d outerDirectory) Members(ctx context.Context, in tenancy.Realm, f tenancy.MemberFilter, q page.Query) (page.Of[*tenancy.Member], error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (page.Of[*tenancy.Member], error) {
		return r.Directory().Members(ctx, in, f, q)
	})
}

func (d outerDirectory) Member(ctx context.Context, in tenancy.Realm, user tenancy.UserID) (*tenancy.Member, error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (*tenancy.Member, error) {
		return r.Directory().Member(ctx, in, user)
	})
}

func (d outerDirectory) UpdateMember(ctx context.Context, in tenancy.Realm, user tenancy.UserID, change func(*tenancy.Member) error) error {
	return d.write(ctx, func(ctx context.Context, r ports.Directory) error { return r.UpdateMember(ctx, in, user, change) })
}

func (d outerDirectory) RemoveMember(ctx context.Context, in tenancy.Realm, user tenancy.UserID) error {
	return d.write(ctx, func(ctx context.Context, r ports.Directory) error { return r.RemoveMember(ctx, in, user) })
}

func (d outerDirectory) CreateKey(ctx context.Context, in tenancy.Realm, k *tenancy.APIKey) error {
	return d.write(ctx, func(ctx context.Context, r ports.Directory) error { return r.CreateKey(ctx, in, k) })
}

func (d outerDirectory) FindKey(ctx context.Context, id tenancy.KeyID) (*tenancy.APIKey, error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (*tenancy.APIKey, error) {
		return r.Directory().FindKey(ctx, id)
	})
}

func (d outerDirectory) Keys(ctx context.Context, in tenancy.Realm, f tenancy.KeyFilter, q page.Query) (page.Of[*tenancy.APIKey], error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (page.Of[*tenancy.APIKey], error) {
		return r.Directory().Keys(ctx, in, f, q)
	})
}

func (d outerDirectory) Key(ctx context.Context, in tenancy.Realm, id tenancy.KeyID) (*tenancy.APIKey, error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (*tenancy.APIKey, error) {
		return r.Directory().Key(ctx, in, id)
	})
}

func (d outerDirectory) UpdateKey(ctx context.Context, in tenancy.Realm, id tenancy.KeyID, change func(*tenancy.APIKey) error) error {
	return d.write(ctx, func(ctx context.Context, r ports.Directory) error { return r.UpdateKey(ctx, in, id, change) })
}

func (d outerDirectory) TouchKey(ctx context.Context, in tenancy.Realm, id tenancy.KeyID, at time.Time) error {
	return d.write(ctx, func(ctx context.Context, r ports.Directory) error { return r.TouchKey(ctx, in, id, at) })
}

func (d outerDirectory) CreateInvitation(ctx context.Context, in tenancy.Realm, i *tenancy.Invitation) error {
	return d.write(ctx, func(ctx context.Context, r ports.Directory) error { return r.CreateInvitation(ctx, in, i) })
}

func (d outerDirectory) FindInvitation(ctx context.Context, issuer, email string, at time.Time) (*tenancy.Invitation, error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (*tenancy.Invitation, error) {
		return r.Directory().FindInvitation(ctx, issuer, email, at)
	})
}

func (d outerDirectory) Invitations(ctx context.Context, in tenancy.Realm, f tenancy.InvitationFilter, q page.Query) (page.Of[*tenancy.Invitation], error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (page.Of[*tenancy.Invitation], error) {
		return r.Directory().Invitations(ctx, in, f, q)
	})
}

func (d outerDirectory) Invitation(ctx context.Context, in tenancy.Realm, id tenancy.InvitationID) (*tenancy.Invitation, error) {
	return read(ctx, d.o, func(ctx context.Context, r *Repositories) (*tenancy.Invitation, error) {
		return r.Directory().Invitation(ctx, in, id)
	})
}

func (d outerDirectory) UpdateInvitation(ctx context.Context, in tenancy.Realm, id tenancy.InvitationID, change func(*tenancy.Invitation) error) error {
	return d.write(ctx, func(ctx context.Context, r ports.Directory) error { return r.UpdateInvitation(ctx, in, id, change) })
}
