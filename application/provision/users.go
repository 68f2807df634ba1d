package provision

import (
	"context"

	"agentapi/application/access"
	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Users gives some of the people whom the filter chooses, and how many there are.
func (s *Service) Users(ctx context.Context, who tenancy.Principal, f roster.Filter, skip, most int) ([]*roster.Person, int, error) {
	in, err := realm(who)
	if err != nil {
		return nil, 0, err
	}
	return s.Storage.Roster().People(ctx, in, f, skip, most)
}

// User gives one of the people.
func (s *Service) User(ctx context.Context, who tenancy.Principal, user tenancy.UserID) (*roster.Person, error) {
	in, err := realm(who)
	if err != nil {
		return nil, err
	}
	return s.Storage.Roster().Person(ctx, in, user)
}

// subject is who somebody is at the issuer. fault.Invalid: the provider does not say.
func (s *Service) subject(p *roster.Person) (string, error) {
	name, text := "externalId", p.External
	if s.ByName {
		name, text = "userName", p.UserName
	}
	if text == "" {
		return "", fault.Invalidf(name, "invalid_value", "%s is missing: it says who they are when they log in.", name)
	}
	return text, nil
}

// AddUser makes somebody a member of the organisation, or takes over who is one
// already. fault.Conflict, code uniqueness: the provider has said so before.
// fault.Unavailable: nothing says at which issuer people log in.
func (s *Service) AddUser(ctx context.Context, who tenancy.Principal, p roster.Person) (*roster.Person, error) {
	in, err := realm(who)
	if err != nil {
		return nil, err
	}
	if s.Issuer == "" {
		return nil, fault.New(fault.Unavailable, "Provisioning is not configured.").WithCode("scim_not_configured").
			WithHint("Whoever runs this server names the issuer at which people log in as identity.scim.issuer.")
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	subject, err := s.subject(&p)
	if err != nil {
		return nil, err
	}
	at := s.Now()
	p.Org, p.User, p.Created, p.Updated = in.Org(), access.UserOf(s.Issuer, subject), at, at
	status := tenancy.Active
	if !p.Active {
		status = tenancy.Suspended
	}
	u := &tenancy.User{ID: p.User, Issuer: s.Issuer, Subject: subject, Status: tenancy.Active, Version: 1, Created: at, Updated: at}
	m := &tenancy.Member{Org: p.Org, User: p.User, Role: tenancy.OrgMember, Status: status, Version: 1, Created: at, Updated: at}
	var added *roster.Person
	notes := []trail.Note{on(who, audit.MemberAdded, in, p.User, map[string]string{"by": by, "status": string(status)})}
	err = s.change(ctx, notes, func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Directory().Enrol(ctx, tenancy.Standing{User: u, Member: m}); err != nil {
			return err
		}
		if err := tx.Roster().AddPerson(ctx, in, &p); err != nil {
			return err
		}
		if err := s.settle(ctx, tx, in, &p); err != nil {
			return err
		}
		added, err = tx.Roster().Person(ctx, in, p.User)
		return err
	})
	if err != nil {
		return nil, err
	}
	return added, nil
}

// settle has the membership be what the provider says. fault.Conflict, code
// last_owner: the organisation would be left without an owner.
func (s *Service) settle(ctx context.Context, tx ports.Repositories, in tenancy.Realm, p *roster.Person) error {
	if !p.Active {
		if err := access.Spare(ctx, tx.Roster(), in, p.User); err != nil {
			return err
		}
	}
	return tx.Directory().UpdateMember(ctx, in, p.User, func(m *tenancy.Member) error {
		m.Name, m.Email, m.Status, m.Updated = p.Title(), p.Email, tenancy.Active, s.Now()
		if !p.Active {
			m.Status = tenancy.Suspended
		}
		return nil
	})
}

// EditUser changes somebody who is in one of the versions; nil: in any. Who they are
// at the issuer stays: fault.Invalid with code mutability.
func (s *Service) EditUser(ctx context.Context, who tenancy.Principal, user tenancy.UserID, versions []int, change func(*roster.Person) error) (*roster.Person, error) {
	in, err := realm(who)
	if err != nil {
		return nil, err
	}
	edit := func(p *roster.Person) error {
		if err := expect(versions, p.Tag()); err != nil {
			return err
		}
		was, err := s.subject(p)
		if err != nil {
			return err
		}
		if err := change(p); err != nil {
			return err
		}
		if err := p.Check(); err != nil {
			return err
		}
		if is, err := s.subject(p); err != nil || is != was {
			return fault.Invalidf("", "mutability", "This says who they are when they log in, and stays: remove the user and make another.")
		}
		p.Updated = s.Now()
		return nil
	}
	// What the record will say is tried first; that another does so at the same time
	// changes nothing of it but what was the case before.
	old, err := s.Storage.Roster().Person(ctx, in, user)
	if err != nil {
		return nil, err
	}
	next := *old
	if err := edit(&next); err != nil {
		return nil, err
	}
	details := map[string]string{"by": by}
	if next.Active != old.Active {
		details["status"] = string(tenancy.Suspended)
		if next.Active {
			details["status"] = string(tenancy.Active)
		}
	}
	var after *roster.Person
	err = s.change(ctx, []trail.Note{on(who, audit.MemberChanged, in, user, details)}, func(ctx context.Context, tx ports.Repositories) error {
		var now roster.Person
		err := tx.Roster().UpdatePerson(ctx, in, user, func(p *roster.Person) error {
			if err := edit(p); err != nil {
				return err
			}
			now = *p
			return nil
		})
		if err == nil {
			err = s.settle(ctx, tx, in, &now)
		}
		if err == nil {
			after, err = tx.Roster().Person(ctx, in, user)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return after, nil
}

// RemoveUser takes somebody out of the organisation, with all keys.
func (s *Service) RemoveUser(ctx context.Context, who tenancy.Principal, user tenancy.UserID, versions []int) error {
	in, err := realm(who)
	if err != nil {
		return err
	}
	if _, err := s.Storage.Roster().Person(ctx, in, user); err != nil {
		return err // nobody gets a pseudonym for not being there
	}
	return s.change(ctx, []trail.Note{on(who, audit.MemberRemoved, in, user, map[string]string{"by": by})}, func(ctx context.Context, tx ports.Repositories) error {
		p, err := tx.Roster().Person(ctx, in, user)
		if err == nil {
			err = expect(versions, p.Tag())
		}
		if err == nil {
			err = access.Spare(ctx, tx.Roster(), in, user)
		}
		var groups []*roster.Group
		if err == nil {
			groups, err = tx.Roster().Belongs(ctx, in, user)
		}
		for _, g := range groups { // which are others without them
			if err == nil {
				err = tx.Roster().UpdateGroup(ctx, in, g.ID, func(g *roster.Group) error { g.Updated = s.Now(); return nil })
			}
		}
		if err != nil {
			return err
		}
		return tx.Directory().RemoveMember(ctx, in, user)
	})
}
