package roster

import (
	"strings"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/tenancy"
)

type groupKind struct{}

func (groupKind) Prefix() string { return "group" }

// GroupID identifies a group.
type GroupID = id.ID[groupKind]

// NewGroupID makes a group's id for the moment at.
func NewGroupID(at time.Time, rand [10]byte) GroupID { return id.New[groupKind](at, rand) }

// ParseGroupID reads a group's id in either spelling.
func ParseGroupID(s string) (GroupID, error) { return id.Parse[groupKind](s) }

// MaxMembers is how many people a group may have.
const MaxMembers = 10_000

// Group is people of an organisation under one name.
type Group struct {
	Org      tenancy.OrgID
	ID       GroupID
	External string // the provider's id; may be empty
	Name     string // unique in the organisation, whatever its case
	Version  int    // counts changes of its members, too
	Created  time.Time
	Updated  time.Time
}

// Check refuses what cannot be kept. fault.Invalid.
func (g *Group) Check() error {
	if strings.TrimSpace(g.Name) == "" {
		return fault.Invalidf("displayName", "invalid_value", "displayName is missing.")
	}
	if err := check("displayName", g.Name); err != nil {
		return err
	}
	return check("externalId", g.External)
}

// GroupFilter chooses groups; nil chooses all. Names are compared whatever their
// case.
type GroupFilter struct {
	ID       *GroupID
	Name     *string
	External *string
	Member   *tenancy.UserID
}

// NoGroup is the fault of a group that is not there.
func NoGroup() error { return fault.NotFoundf("group_not_found", "There is no such group.") }

// Roles are what the names of groups stand for.
type Roles map[string]tenancy.Role

// ranks are the roles that a group gives, the strongest first. Owners are made by
// owners, and the platform's administrators by theirs.
var ranks = []tenancy.Role{tenancy.OrgAdmin, tenancy.OrgAuditor, tenancy.OrgMember}

// Givable tells whether a group may give a role.
func Givable(r tenancy.Role) bool {
	for _, g := range ranks {
		if g == r {
			return true
		}
	}
	return false
}

// Highest is the strongest role that the names stand for; empty: none stands for any.
func (r Roles) Highest(names []string) tenancy.Role {
	for _, rank := range ranks {
		for _, n := range names {
			if r[n] == rank {
				return rank
			}
		}
	}
	return ""
}
