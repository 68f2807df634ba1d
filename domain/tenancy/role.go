package tenancy

import "agentapi/domain/fault"

// Role is what a user is within an organisation or, for the platform roles, to
// the whole deployment. A platform role never comes from an organisation's claim.
type Role string

// The roles.
const (
	PlatformAdmin   Role = "platform_admin"
	PlatformAuditor Role = "platform_auditor"
	OrgOwner        Role = "org_owner"
	OrgAdmin        Role = "org_admin"
	OrgAuditor      Role = "org_auditor"
	OrgMember       Role = "org_member"
	Service         Role = "service"
)

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	switch r := Role(s); r {
	case PlatformAdmin, PlatformAuditor, OrgOwner, OrgAdmin, OrgAuditor, OrgMember, Service:
		return r, nil
	default:
		return "", fault.Invalidf("role", "invalid_value", "%q is not a role (have platform_admin, platform_auditor, org_owner, org_admin, org_auditor, org_member, service).", s)
	}
}
