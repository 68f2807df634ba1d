package admin

import (
	"cmp"
	"context"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// NewInvitation asks for whoever has an e-mail address to belong to an organisation.
type NewInvitation struct {
	Email   string
	Role    tenancy.Role // empty: a member
	Expires time.Time    // zero: in a week
}

// Invite invites whoever has an e-mail address. Nobody is sent anything.
// fault.Conflict: the address is invited already, or a member's.
func (s *Service) Invite(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, n NewInvitation, o Once) (*tenancy.Invitation, error) {
	in, err := who.Realm(org, tenancy.WriteMembers)
	if err != nil {
		return nil, err
	}
	at := s.Now()
	if n.Expires.IsZero() {
		n.Expires = at.Add(tenancy.InvitationLife)
	}
	var random [10]byte
	s.Random(random[:])
	i := &tenancy.Invitation{
		ID: tenancy.NewInvitationID(at, random), Org: org, Email: n.Email, Role: cmp.Or(n.Role, tenancy.OrgMember), By: who.User(), Status: tenancy.Pending,
		Expires: n.Expires, Version: 1, Created: at, Updated: at,
	}
	if err := i.Check(at); err != nil {
		return nil, err
	}
	if !i.Role.Within(who.Role()) {
		return nil, beyond(i.Role, who)
	}
	note := guest(who, audit.InvitationCreated, in, i.ID, map[string]string{"role": string(i.Role)})
	note.Personal = map[string]string{"email": i.Email}
	made, err := s.create(ctx, who, note, o, func(ctx context.Context, d ports.Directory) (string, error) {
		if _, err := d.Org(ctx, org); err != nil {
			return "", err
		}
		there, err := d.Members(ctx, in, tenancy.MemberFilter{Emails: []string{i.Email}}, page.Query{Limit: 1})
		if err == nil && len(there.Items) > 0 {
			err = fault.New(fault.Conflict, "This address is a member's already: %s.", there.Items[0].User).WithCode("member_exists")
		}
		if err != nil {
			return "", err
		}
		return i.ID.String(), d.CreateInvitation(ctx, in, i)
	})
	if err != nil || made == "" {
		return i, err
	}
	first, err := tenancy.ParseInvitationID(made)
	if err != nil {
		return nil, fault.Internalf("a stored idempotency result names no invitation: %w", err)
	}
	return s.Storage.Directory().Invitation(ctx, in, first)
}

// guest says what a caller does about somebody who was invited.
func guest(who tenancy.Principal, what audit.Action, in tenancy.Realm, id tenancy.InvitationID, details map[string]string) trail.Note {
	details["invitation"] = id.String()
	i := tenancy.Invitation{ID: id}
	return on(who, what, in, i.Guest(), details)
}

// Invitations lists invitations of an organisation, as they stand now.
func (s *Service) Invitations(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, f tenancy.InvitationFilter, q page.Query) (page.Of[*tenancy.Invitation], error) {
	in, err := who.Realm(org, tenancy.ReadMembers)
	if err != nil {
		return page.Of[*tenancy.Invitation]{}, err
	}
	f.At = s.Now()
	return paged(q, func(q page.Query) (page.Of[*tenancy.Invitation], error) {
		found, err := s.Storage.Directory().Invitations(ctx, in, f, q)
		for _, i := range found.Items {
			i.Status = i.StatusAt(f.At)
		}
		return found, err
	})
}

// Invitation gives an invitation of an organisation, as it stands now.
func (s *Service) Invitation(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id tenancy.InvitationID) (*tenancy.Invitation, error) {
	in, err := who.Realm(org, tenancy.ReadMembers)
	if err != nil {
		return nil, err
	}
	i, err := s.Storage.Directory().Invitation(ctx, in, id)
	if err == nil {
		i.Status = i.StatusAt(s.Now())
	}
	return i, err
}

// RevokeInvitation takes an invitation back; one that was taken back stays as it is.
// fault.Conflict: somebody has accepted it.
func (s *Service) RevokeInvitation(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id tenancy.InvitationID, versions []int) (*tenancy.Invitation, error) {
	in, err := who.Realm(org, tenancy.WriteMembers)
	if err != nil {
		return nil, err
	}
	if _, err := s.Storage.Directory().Invitation(ctx, in, id); err != nil {
		return nil, err // before the log makes a pseudonym for nobody
	}
	var after tenancy.Invitation
	err = s.change(ctx, guest(who, audit.InvitationRevoked, in, id, map[string]string{}), func(ctx context.Context, d ports.Directory) error {
		return d.UpdateInvitation(ctx, in, id, func(i *tenancy.Invitation) error {
			if err := expect(versions, i.Version); err != nil {
				return err
			}
			if !i.Role.Within(who.Role()) {
				return beyond(i.Role, who)
			}
			if err := i.Revoke(s.Now()); err != nil {
				return err
			}
			after = *i
			after.Version++
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return &after, nil
}
