package memory

import (
	"bytes"
	"context"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// inviting is an invitation as a database would give it back.
func inviting(i *tenancy.Invitation, version int) *tenancy.Invitation {
	c := *i
	c.Version = version
	for _, t := range []*time.Time{&c.Created, &c.Updated, &c.Expires, &c.Accepted} {
		if !t.IsZero() {
			*t = session.Moment(*t)
		}
	}
	return &c
}

// CreateInvitation stores a new invitation, in place of one whose time has passed.
func (d directory) CreateInvitation(ctx context.Context, in tenancy.Realm, i *tenancy.Invitation) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	all := d.s.register.invited
	switch {
	case i.Org != in.Org():
		return forbidden()
	case d.s.register.orgs[i.Org] == nil:
		return fault.Internalf("an invitation of what is not there")
	case all[i.ID] != nil:
		return fault.New(fault.Conflict, "There is an invitation with this id already.")
	}
	fresh := inviting(i, 1)
	same := tenancy.InvitationFilter{Email: i.Email}
	for _, old := range all {
		if old.Org != i.Org || old.Status != tenancy.Pending || !same.Chooses(old) {
			continue
		}
		if old.StatusAt(fresh.Created) == tenancy.Pending {
			return tenancy.Invited()
		}
		late := inviting(old, old.Version+1)
		late.Status, late.Updated = tenancy.Expired, fresh.Created
		put(d.s, all, late.ID, late)
	}
	put(d.s, all, i.ID, fresh)
	return nil
}

// FindInvitation returns the first invitation to an address.
func (d directory) FindInvitation(ctx context.Context, issuer, email string, at time.Time) (*tenancy.Invitation, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if email == "" {
		return nil, tenancy.NoInvitation()
	}
	f := tenancy.InvitationFilter{Email: email, Status: []tenancy.InvitationStatus{tenancy.Pending}, At: session.Moment(at)}
	var found *tenancy.Invitation
	for _, i := range d.s.register.invited {
		o := d.s.register.orgs[i.Org]
		if o.Issuer == issuer && o.Status == tenancy.Active && f.Chooses(i) && (found == nil || bytes.Compare(i.ID[:], found.ID[:]) < 0) {
			found = i
		}
	}
	if found == nil {
		return nil, tenancy.NoInvitation()
	}
	return copied(found), nil
}

// Invitations returns a page of the organisation's invitations.
func (d directory) Invitations(ctx context.Context, in tenancy.Realm, f tenancy.InvitationFilter, q page.Query) (page.Of[*tenancy.Invitation], error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return page.Of[*tenancy.Invitation]{}, err
	}
	defer leave()
	f.At = session.Moment(f.At)
	all := chosen(d.s.register.invited, func(i *tenancy.Invitation) bool { return i.Org == in.Org() && f.Chooses(i) })
	return paged(all, func(i *tenancy.Invitation) tenancy.InvitationID { return i.ID }, tenancy.ParseInvitationID, q, copied)
}

// Invitation returns an invitation of the organisation.
func (d directory) Invitation(ctx context.Context, in tenancy.Realm, id tenancy.InvitationID) (*tenancy.Invitation, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if i := d.s.register.invited[id]; i != nil && i.Org == in.Org() {
		return copied(i), nil
	}
	return nil, tenancy.NoInvitation()
}

// UpdateInvitation stores what change makes of an invitation.
func (d directory) UpdateInvitation(ctx context.Context, in tenancy.Realm, id tenancy.InvitationID, change func(*tenancy.Invitation) error) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	old := d.s.register.invited[id]
	if old == nil || old.Org != in.Org() {
		return tenancy.NoInvitation()
	}
	i := *old
	if err := change(&i); err != nil {
		return err
	}
	i.ID, i.Org, i.Email, i.Created = old.ID, old.Org, old.Email, old.Created
	put(d.s, d.s.register.invited, id, inviting(&i, old.Version+1))
	return nil
}

// uninvite removes the invitations that brought a user or were to an address of theirs, with
// what the audit log knows of who was invited, and takes the user out of others. The
// mutex must be held. It returns how many it touched.
func (s *Store) uninvite(who owner, pseudonym tenancy.UserID) (n int) {
	addresses := map[string]bool{}
	if m := s.register.members[who]; m != nil {
		addresses[tenancy.FoldEmail(m.Email)] = true
	}
	for _, i := range s.register.invited {
		if i.Org == who.org && i.User == who.user {
			addresses[tenancy.FoldEmail(i.Email)] = true
		}
	}
	for id, i := range s.register.invited {
		switch {
		case i.Org != who.org:
		case addresses[tenancy.FoldEmail(i.Email)]:
			guest := owner{who.org, i.Guest()}
			delete(s.log.subjects, guest)
			delete(s.log.values, guest)
			delete(s.register.invited, id)
			n++
		case i.By == who.user:
			c := *i
			c.By = pseudonym
			s.register.invited[id] = &c
			n++
		}
	}
	return n
}
