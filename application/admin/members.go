package admin

import (
	"cmp"
	"context"

	"agentapi/application/access"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Members lists who belongs to an organisation.
func (s *Service) Members(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, f tenancy.MemberFilter, q page.Query) (page.Of[*tenancy.Member], error) {
	in, err := who.Realm(org, tenancy.ReadMembers)
	if err != nil {
		return page.Of[*tenancy.Member]{}, err
	}
	return paged(q, func(q page.Query) (page.Of[*tenancy.Member], error) {
		return s.Storage.Directory().Members(ctx, in, f, q)
	})
}

// Member gives one who belongs to an organisation.
func (s *Service) Member(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, user tenancy.UserID) (*tenancy.Member, error) {
	in, err := who.Realm(org, tenancy.ReadMembers)
	if err != nil {
		return nil, err
	}
	return s.Storage.Directory().Member(ctx, in, user)
}

// NewMember asks for somebody to belong to an organisation.
type NewMember struct {
	Issuer, Subject string // who it is
	Name, Email     string
	Role            tenancy.Role // empty: whatever the token says, and a member until then
}

// AddMember makes somebody a member of an organisation before they come.
// fault.Conflict: they are one.
func (s *Service) AddMember(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, n NewMember, o Once) (*tenancy.Member, error) {
	in, err := who.Realm(org, tenancy.WriteMembers)
	if err != nil {
		return nil, err
	}
	for param, text := range map[string]string{"issuer": n.Issuer, "subject": n.Subject, "name": n.Name, "email": n.Email} {
		if text == "" && (param == "name" || param == "email") {
			continue
		}
		if err := tenancy.ValidTitle(param, text); err != nil {
			return nil, err
		}
	}
	at, id := s.Now(), access.UserOf(n.Issuer, n.Subject)
	m := &tenancy.Member{Org: org, User: id, Name: cmp.Or(n.Name, n.Subject), Email: n.Email, Role: tenancy.OrgMember, Status: tenancy.Active, Version: 1, Created: at, Updated: at}
	if n.Role != "" {
		if !n.Role.Within(who.Role()) {
			return nil, beyond(n.Role, who)
		}
		if err := m.Apply(tenancy.Edit{Role: &n.Role}, at); err != nil {
			return nil, err
		}
	}
	made, err := s.create(ctx, who, on(who, audit.MemberAdded, in, id, map[string]string{"role": string(m.Role)}), o, func(ctx context.Context, d ports.Directory) (string, error) {
		if _, err := d.Org(ctx, org); err != nil {
			return "", err
		}
		if _, err := d.Member(ctx, in, id); !fault.Is(err, fault.NotFound) {
			if err == nil {
				err = fault.New(fault.Conflict, "They are a member already: %s.", id).WithCode("member_exists")
			}
			return "", err
		}
		u := &tenancy.User{ID: id, Issuer: n.Issuer, Subject: n.Subject, Status: tenancy.Active, Version: 1, Created: at, Updated: at}
		return id.String(), d.Enrol(ctx, tenancy.Standing{User: u, Member: m})
	})
	if err != nil || made == "" {
		return m, err
	}
	return s.Storage.Directory().Member(ctx, in, id)
}

func beyond(role tenancy.Role, who tenancy.Principal) error {
	return fault.New(fault.Forbidden, "You cannot make anybody %s, being %s.", role, who.Role()).WithCode("insufficient_permissions").WithParam("role")
}

// EditMember changes a member's role or status. Nobody changes who is more than
// they are, makes anybody more than they are, or changes themselves. fault.Conflict,
// code last_owner: the organisation would be left without an owner.
func (s *Service) EditMember(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, user tenancy.UserID, versions []int, e tenancy.Edit) (*tenancy.Member, error) {
	in, err := who.Realm(org, tenancy.WriteMembers)
	if err != nil {
		return nil, err
	}
	var after tenancy.Member
	n := on(who, audit.MemberChanged, in, user, map[string]string{"role": text(e.Role), "status": text(e.Status)})
	err = s.transact(ctx, n, func(ctx context.Context, tx ports.Repositories) error {
		stays := (e.Role == nil || *e.Role == "" || *e.Role == tenancy.OrgOwner) && (e.Status == nil || *e.Status == tenancy.Active)
		if err := s.reaches(ctx, tx, who, in, user, stays); err != nil {
			return err
		}
		return tx.Directory().UpdateMember(ctx, in, user, func(m *tenancy.Member) error {
			if err := above(who, m); err != nil {
				return err
			}
			if err := expect(versions, m.Version); err != nil {
				return err
			}
			if e.Role != nil && *e.Role != "" && !e.Role.Within(who.Role()) {
				return beyond(*e.Role, who)
			}
			if err := m.Apply(e, s.Now()); err != nil {
				return err
			}
			after = *m
			after.Version++
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return &after, nil
}

// above refuses a change of a member by who is less, or is the member.
func above(who tenancy.Principal, m *tenancy.Member) error {
	if m.User == who.User() {
		return fault.New(fault.Forbidden, "You cannot change your own membership: ask another administrator.").WithCode("insufficient_permissions")
	}
	if !m.Role.Within(who.Role()) {
		return fault.New(fault.Forbidden, "You cannot change somebody who is %s, being %s.", m.Role, who.Role()).WithCode("insufficient_permissions")
	}
	return nil
}

// reaches refuses to change somebody who is more than the caller in the organisation or
// on the platform and, unless it takes no owner away, its last owner: others are made
// by whoever administers the platform.
func (s *Service) reaches(ctx context.Context, tx ports.Repositories, who tenancy.Principal, in tenancy.Realm, user tenancy.UserID, stays bool) error {
	known, err := tx.Directory().Standing(ctx, in.Org(), user)
	if err != nil {
		return err
	}
	if known.Member == nil {
		return tenancy.NoMember()
	}
	if err := above(who, known.Member); err != nil {
		return err
	}
	role := known.User.Platform
	if s.Access.Names(known.User) {
		role = tenancy.PlatformAdmin
	}
	if role != "" && !role.Within(who.Role()) {
		return fault.New(fault.Forbidden, "You cannot change somebody who is %s, being %s.", role, who.Role()).WithCode("insufficient_permissions")
	}
	if stays || who.Can(tenancy.WritePlatform) {
		return nil
	}
	return access.Spare(ctx, tx.Roster(), in, user)
}

// RemoveMember takes somebody out of an organisation, with all keys. fault.Conflict,
// code last_owner: the organisation would be left without an owner.
func (s *Service) RemoveMember(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, user tenancy.UserID, versions []int) error {
	in, err := who.Realm(org, tenancy.WriteMembers)
	if err != nil {
		return err
	}
	return s.transact(ctx, on(who, audit.MemberRemoved, in, user, nil), func(ctx context.Context, tx ports.Repositories) error {
		if err := s.reaches(ctx, tx, who, in, user, false); err != nil {
			return err
		}
		m, err := tx.Directory().Member(ctx, in, user)
		if err == nil {
			err = expect(versions, m.Version)
		}
		if err != nil {
			return err
		}
		return tx.Directory().RemoveMember(ctx, in, user)
	})
}
