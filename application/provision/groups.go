package provision

import (
	"context"
	"fmt"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Group is a group and who is in it.
type Group struct {
	roster.Group
	Members Set
}

// Set is people.
type Set map[tenancy.UserID]bool

// SetOf makes a Set.
func SetOf(users []tenancy.UserID) Set {
	s := make(Set, len(users))
	for _, u := range users {
		s[u] = true
	}
	return s
}

// Groups gives some of the groups that the filter chooses, and how many there are.
func (s *Service) Groups(ctx context.Context, who tenancy.Principal, f roster.GroupFilter, skip, most int) ([]*roster.Group, int, error) {
	in, err := realm(who)
	if err != nil {
		return nil, 0, err
	}
	return s.Storage.Roster().Groups(ctx, in, f, skip, most)
}

// Group gives a group without its members.
func (s *Service) Group(ctx context.Context, who tenancy.Principal, id roster.GroupID) (*roster.Group, error) {
	in, err := realm(who)
	if err != nil {
		return nil, err
	}
	return s.Storage.Roster().Group(ctx, in, id)
}

// Enlisted gives who is in a group, by id.
func (s *Service) Enlisted(ctx context.Context, who tenancy.Principal, id roster.GroupID) ([]tenancy.UserID, error) {
	in, err := realm(who)
	if err != nil {
		return nil, err
	}
	return s.Storage.Roster().Enlisted(ctx, in, id)
}

// AddGroup makes a group. fault.Conflict, code uniqueness: the name is taken.
// fault.Invalid: somebody in it is not on the roster.
func (s *Service) AddGroup(ctx context.Context, who tenancy.Principal, g Group) (*roster.Group, error) {
	in, err := realm(who)
	if err != nil {
		return nil, err
	}
	var random [10]byte
	s.Random(random[:])
	at := s.Now()
	g.Org, g.ID, g.Created, g.Updated = in.Org(), roster.NewGroupID(at, random), at, at
	return s.alter(ctx, who, in, g.ID, audit.GroupCreated, func(ctx context.Context, r ports.Repositories) (*plan, error) {
		return s.plan(ctx, r, in, nil, &g)
	})
}

// EditGroup changes a group that is in one of the versions; nil: in any.
func (s *Service) EditGroup(ctx context.Context, who tenancy.Principal, id roster.GroupID, versions []int, change func(*Group) error) (*roster.Group, error) {
	in, err := realm(who)
	if err != nil {
		return nil, err
	}
	return s.alter(ctx, who, in, id, audit.GroupChanged, func(ctx context.Context, r ports.Repositories) (*plan, error) {
		old, err := s.current(ctx, r, in, id, versions)
		if err != nil {
			return nil, err
		}
		next := &Group{old.Group, make(Set, len(old.Members))}
		for u := range old.Members {
			next.Members[u] = true
		}
		if err := change(next); err != nil {
			return nil, err
		}
		return s.plan(ctx, r, in, old, next)
	})
}

// RemoveGroup removes a group; who is in it loses the role that it gave.
func (s *Service) RemoveGroup(ctx context.Context, who tenancy.Principal, id roster.GroupID, versions []int) error {
	in, err := realm(who)
	if err != nil {
		return err
	}
	_, err = s.alter(ctx, who, in, id, audit.GroupRemoved, func(ctx context.Context, r ports.Repositories) (*plan, error) {
		old, err := s.current(ctx, r, in, id, versions)
		if err != nil {
			return nil, err
		}
		return s.plan(ctx, r, in, old, nil)
	})
	return err
}

// current is a group as it is, which must be in one of the versions.
func (s *Service) current(ctx context.Context, r ports.Repositories, in tenancy.Realm, id roster.GroupID, versions []int) (*Group, error) {
	g, err := r.Roster().Group(ctx, in, id)
	if err != nil {
		return nil, err
	}
	if err := expect(versions, g.Version); err != nil {
		return nil, err
	}
	users, err := r.Roster().Enlisted(ctx, in, id)
	return &Group{*g, SetOf(users)}, err
}

// tries is how often a change of a group begins anew where another comes between.
const tries = 3

// alter carries out a plan. It is made twice: before the transaction for what is
// recorded, and in it for what is done, which must be the same.
func (s *Service) alter(ctx context.Context, who tenancy.Principal, in tenancy.Realm, id roster.GroupID, what audit.Action,
	make func(context.Context, ports.Repositories) (*plan, error),
) (after *roster.Group, err error) {
	moved := fault.New(fault.Conflict, "Others change this group or its members at the same time.").WithCode("conflict")
	for range tries {
		var first *plan
		if first, err = make(ctx, s.Storage); err != nil {
			return nil, err
		}
		after = nil
		err = s.change(ctx, first.notes(who, in, id, what), func(ctx context.Context, tx ports.Repositories) error {
			p, err := make(ctx, tx)
			if err != nil {
				return err
			}
			if !p.same(first) {
				return moved
			}
			if err := s.carry(ctx, tx, in, id, p); err != nil || p.next == nil {
				return err
			}
			after, err = tx.Roster().Group(ctx, in, id)
			return err
		})
		if err != error(moved) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return after, nil
}

// notes are the records of a plan.
func (p *plan) notes(who tenancy.Principal, in tenancy.Realm, id roster.GroupID, what audit.Action) []trail.Note {
	details := map[string]string{"by": by, "added": fmt.Sprint(len(p.add)), "removed": fmt.Sprint(len(p.remove))}
	notes := []trail.Note{{Who: who.Scope(), From: who.Origin(), Action: what, Target: id.String(), Details: details}}
	for _, g := range p.grants { // they may be many: where it came from stands with the group's
		n := on(who, audit.MemberChanged, in, g.user, map[string]string{"by": by, "group": id.String(), "role": string(g.role)})
		n.From = tenancy.Origin{}
		notes = append(notes, n)
	}
	return notes
}

// carry does what a plan says.
func (s *Service) carry(ctx context.Context, tx ports.Repositories, in tenancy.Realm, id roster.GroupID, p *plan) error {
	r, err := tx.Roster(), error(nil)
	switch {
	case p.old == nil:
		err = r.AddGroup(ctx, in, &p.next.Group)
	case p.next == nil:
		err = r.RemoveGroup(ctx, in, id)
	default:
		err = r.UpdateGroup(ctx, in, id, func(g *roster.Group) error {
			g.Name, g.External, g.Updated = p.next.Name, p.next.External, s.Now()
			return nil
		})
	}
	if err == nil && p.next != nil && len(p.add)+len(p.remove) > 0 {
		err = r.Enlist(ctx, in, id, p.add, p.remove)
		if fault.Is(err, fault.NotFound) {
			err = fault.Invalidf("members", "invalid_value", "A member of the group is no user of the organisation.")
		}
	}
	for _, g := range p.grants {
		if err != nil {
			return err
		}
		err = tx.Directory().UpdateMember(ctx, in, g.user, func(m *tenancy.Member) error {
			m.Role, m.Given, m.Updated = g.role, g.given, s.Now()
			return nil
		})
	}
	return err
}
