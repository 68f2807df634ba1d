package access

import (
	"context"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// place is where somebody acts whose token names no organisation: where an invitation
// brought them, or one that is pending brings them now; zero: nowhere. An issuer's
// word about an address counts in its own organisations only.
func (s *Service) place(ctx context.Context, who tenancy.Identity, user tenancy.UserID) (tenancy.OrgID, error) {
	home, err := s.home(ctx, user)
	if err != nil || !home.IsZero() || who.Email == "" {
		return home, err
	}
	i, err := s.Storage.Directory().FindInvitation(ctx, who.Issuer, who.Email, s.Now())
	if fault.Is(err, fault.NotFound) { // or another request of theirs has just accepted it
		return s.home(ctx, user)
	}
	if err != nil {
		return home, err
	}
	return i.Org, nil
}

// home is where an invitation has brought a user; zero: nowhere, or not any more.
func (s *Service) home(ctx context.Context, user tenancy.UserID) (none tenancy.OrgID, err error) {
	d := s.Storage.Directory()
	known, err := d.Standing(ctx, none, user)
	if err != nil || known.User == nil || known.User.Home.IsZero() {
		return none, err
	}
	_, err = d.Member(ctx, tenancy.RealmOf(known.User.Home), user)
	if fault.Is(err, fault.NotFound) {
		return none, nil
	}
	return known.User.Home, err
}

// welcome makes a member of somebody who is none and has an invitation, whatever is
// said of strangers, and gives how they stand then.
func (s *Service) welcome(ctx context.Context, who tenancy.Identity, org tenancy.OrgID, user tenancy.UserID, known tenancy.Standing) (tenancy.Standing, error) {
	in := tenancy.RealmOf(org)
	if who.Email == "" || known.Org == nil || known.Org.Status != tenancy.Active || known.User != nil && known.User.Status != tenancy.Active {
		return known, nil
	}
	at := s.Now()
	f := tenancy.InvitationFilter{Email: who.Email, Status: []tenancy.InvitationStatus{tenancy.Pending}, At: at}
	found, err := s.Storage.Directory().Invitations(ctx, in, f, page.Query{Limit: 1})
	if err != nil {
		return known, err
	}
	if len(found.Items) == 0 { // or another request of theirs has just accepted it
		return s.Storage.Directory().Standing(ctx, org, user)
	}
	i := found.Items[0]
	entry, err := s.Audit.Entry(ctx, trail.Note{
		Who: in.Of(user), Action: audit.InvitationAccepted, About: in.Of(i.Guest()), Details: map[string]string{"invitation": i.ID.String(), "role": string(i.Role)},
	})
	if err != nil {
		return known, err
	}
	err = s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		d := tx.Directory()
		if err := d.UpdateInvitation(ctx, in, i.ID, func(i *tenancy.Invitation) error { return i.Accept(user, at) }); err != nil {
			return err
		}
		err := d.Enrol(ctx, tenancy.Standing{
			User: &tenancy.User{ID: user, Issuer: who.Issuer, Subject: who.Subject, Status: tenancy.Active, Version: 1, Created: at, Updated: at},
			Member: &tenancy.Member{
				Org: org, User: user, Name: who.Subject, Email: who.Email, Role: i.Role, Given: true, Status: tenancy.Active, Version: 1, Created: at, Updated: at,
			},
		})
		if err == nil && who.Org == "" {
			err = d.UpdateUser(ctx, user, func(u *tenancy.User, _ int) error {
				u.Home, u.Updated = org, at
				return nil
			})
		}
		if err != nil {
			return err
		}
		return s.Audit.Append(ctx, tx, entry)
	})
	if err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) { // what somebody else did with it shows now
		return known, err
	}
	return s.Storage.Directory().Standing(ctx, org, user)
}
