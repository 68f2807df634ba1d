package organization

import (
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// OpenAI knows two roles of an organisation, and two of a project. Its owners are our
// owners and administrators, its readers all others; in the one project these are
// owners and members. Whoever is made an owner becomes an org_admin, and a reader an
// org_member; who is one already stays what they are.
const (
	owner  = "owner"
	reader = "reader"
	member = "member"
)

// roleOf is a role in OpenAI's words.
func roleOf(r tenancy.Role) string {
	if r.Can(tenancy.WriteMembers) {
		return owner
	}
	return reader
}

// inProject is a role in OpenAI's words for a project.
func inProject(r tenancy.Role) string {
	if roleOf(r) == owner {
		return owner
	}
	return member
}

// ours is the role that OpenAI's word gives. fault.Invalid.
func ours(word string) (tenancy.Role, error) {
	switch word {
	case owner:
		return tenancy.OrgAdmin, nil
	case reader:
		return tenancy.OrgMember, nil
	default:
		return "", fault.Invalidf("role", "invalid_value", "role must be owner or reader.").WithHint("PATCH /api/v1/orgs/{org}/members/{user} gives the finer roles.")
	}
}

// people are the roles of members who are no service accounts.
func people() []tenancy.Role {
	return []tenancy.Role{tenancy.OrgOwner, tenancy.OrgAdmin, tenancy.OrgAuditor, tenancy.OrgMember}
}

// keyRoles are the roles of admin keys, which at least read the organisation, or of all
// other keys, which are its project's.
func keyRoles(admin bool) (out []tenancy.Role) {
	for _, r := range tenancy.Roles() {
		if r.Can(tenancy.ReadOrg) == admin {
			out = append(out, r)
		}
	}
	return out
}
