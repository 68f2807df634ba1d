package provision

import (
	"bytes"
	"context"
	"slices"

	"agentapi/domain/fault"
	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// plan is what a change of a group does.
type plan struct {
	old, next   *Group // nil: it is not there before, or afterwards
	add, remove []tenancy.UserID
	grants      []grant
}

// grant is the role that a member has afterwards.
type grant struct {
	user  tenancy.UserID
	role  tenancy.Role
	given bool // by a group; else the tokens say
}

// same tells whether two plans have the same effect.
func (p *plan) same(other *plan) bool {
	return slices.Equal(p.add, other.add) && slices.Equal(p.remove, other.remove) && slices.Equal(p.grants, other.grants)
}

// plan says what it takes to have a group be another.
func (s *Service) plan(ctx context.Context, r ports.Repositories, in tenancy.Realm, old, next *Group) (*plan, error) {
	p := &plan{old: old, next: next}
	var before, after Set
	if old != nil {
		before = old.Members
	}
	if next != nil {
		if err := next.Check(); err != nil {
			return nil, err
		}
		if after = next.Members; len(after) > roster.MaxMembers {
			return nil, fault.Invalidf("members", "invalid_value", "A group may have %d members.", roster.MaxMembers)
		}
	}
	p.add, p.remove = without(after, before), without(before, after)
	was, is := s.stands(old), s.stands(next)
	if was == "" && is == "" {
		return p, nil
	}
	affected := slices.Concat(p.add, p.remove)
	if was != is {
		affected = slices.Concat(without(before, nil), p.add)
	}
	for _, user := range affected {
		g, changes, err := s.grant(ctx, r, in, user, p)
		if err != nil {
			return nil, err
		}
		if changes {
			p.grants = append(p.grants, g)
		}
	}
	return p, nil
}

// stands is the role that a group gives; empty: none.
func (s *Service) stands(g *Group) tenancy.Role {
	if g == nil {
		return ""
	}
	return s.Roles[g.Name]
}

// grant is the role that somebody has by their groups when the plan is carried out,
// and whether it is another than they have. Owners stay owners.
func (s *Service) grant(ctx context.Context, r ports.Repositories, in tenancy.Realm, user tenancy.UserID, p *plan) (g grant, changes bool, err error) {
	m, err := r.Directory().Member(ctx, in, user)
	if fault.Is(err, fault.NotFound) {
		return g, false, fault.Invalidf("members", "invalid_value", "A member of the group is no user of the organisation.")
	}
	if err != nil || m.Role == tenancy.OrgOwner || m.Role == tenancy.Service {
		return g, false, err
	}
	groups, err := r.Roster().Belongs(ctx, in, user)
	if err != nil {
		return g, false, err
	}
	var names []string
	for _, group := range groups {
		if p.old == nil || group.ID != p.old.ID {
			names = append(names, group.Name)
		}
	}
	if p.next != nil && p.next.Members[user] {
		names = append(names, p.next.Name)
	}
	g = grant{user: user, role: s.Roles.Highest(names), given: true}
	if g.role == "" {
		g.role, g.given = tenancy.OrgMember, false
	}
	return g, g.role != m.Role || g.given != m.Given, nil
}

// without is who is in one set and not in the other, by id.
func without(all, other Set) (out []tenancy.UserID) {
	for u := range all {
		if !other[u] {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b tenancy.UserID) int { return bytes.Compare(a[:], b[:]) })
	return out
}
