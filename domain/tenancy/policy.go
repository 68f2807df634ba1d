package tenancy

import (
	"slices"

	"agentapi/domain/fault"
)

// Permission is a right, as resource:verb.
type Permission string

// The permissions. Those of the caller's own need no role above a member's; those
// of an organisation hold in the caller's, or everywhere for a platform role.
const (
	UseChat       Permission = "chat:use"       // to have a model or an agent answer
	ReadModels    Permission = "models:read"    // to see what there is to ask
	OwnSessions   Permission = "sessions:own"   // to see and change one's own conversations
	ReadSelf      Permission = "me:read"        // to see who one is
	OwnKeys       Permission = "keys:own"       // to make and revoke keys that act as oneself
	ReadOrg       Permission = "org:read"       // to see an organisation
	WriteOrg      Permission = "org:write"      // to rename it
	ReadMembers   Permission = "members:read"   // to see who belongs to it
	WriteMembers  Permission = "members:write"  // to give roles, suspend and remove
	ReadKeys      Permission = "keys:read"      // to see everybody's keys in it
	WriteKeys     Permission = "keys:write"     // to revoke them, and to make keys of service accounts
	ReadUsage     Permission = "usage:read"     // to see what it consumed, its budgets and its limits
	WriteBudgets  Permission = "budgets:write"  // to bound what it spends, and what its members and keys use
	ReadAudit     Permission = "audit:read"     // to see what was done in it
	ReadSessions  Permission = "sessions:read"  // to see who has which conversations in it, but not what was said
	WriteSessions Permission = "sessions:write" // to end and remove them
	WriteData     Permission = "data:write"     // to export and erase its users' data
	WriteSCIM     Permission = "scim:write"     // to provision its members and groups, as an identity provider does
	ReadPlatform  Permission = "platform:read"  // to see the whole deployment
	WritePlatform Permission = "platform:write" // to change it: organisations, administrators, agents
)

// rights is what each role may do.
var rights = func() map[Role][]Permission {
	service := []Permission{UseChat, ReadModels, OwnSessions, ReadSelf}
	member := append(slices.Clone(service), OwnKeys)
	auditor := append(slices.Clone(member), ReadOrg, ReadMembers, ReadKeys, ReadUsage, ReadAudit, ReadSessions)
	admin := append(slices.Clone(auditor), WriteOrg, WriteMembers, WriteKeys, WriteBudgets, WriteSessions, WriteData, WriteSCIM)
	return map[Role][]Permission{
		Service: service, OrgMember: member, OrgAuditor: auditor, OrgAdmin: admin, OrgOwner: admin,
		PlatformAuditor: append(slices.Clone(auditor), ReadPlatform),
		PlatformAdmin:   append(slices.Clone(admin), ReadPlatform, WritePlatform),
	}
}()

// Roles are all roles, the least first.
func Roles() []Role {
	return []Role{Service, OrgMember, OrgAuditor, OrgAdmin, OrgOwner, PlatformAuditor, PlatformAdmin}
}

// Permissions are what a role may do.
func (r Role) Permissions() []Permission { return slices.Clone(rights[r]) }

// Can tells whether a role has a permission.
func (r Role) Can(p Permission) bool { return slices.Contains(rights[r], p) }

// IsPlatform tells whether a role holds in every organisation.
func (r Role) IsPlatform() bool { return r == PlatformAdmin || r == PlatformAuditor }

// Within tells whether all that r may do other may do, too: only such a role can
// be given by someone who has the other.
func (r Role) Within(other Role) bool {
	if r == OrgOwner && other != OrgOwner && other != PlatformAdmin { // owners are made by owners
		return false
	}
	if r.IsPlatform() && !other.IsPlatform() {
		return false
	}
	for _, p := range rights[r] {
		if !other.Can(p) {
			return false
		}
	}
	return rights[r] != nil
}

// Lesser is the most that may be done by whoever is bounded by both roles.
func (r Role) Lesser(other Role) Role {
	for _, most := range slices.Backward(Roles()) {
		if most.Within(r) && most.Within(other) {
			return most
		}
	}
	return ""
}

// Can tells whether the caller has a permission in the caller's own organisation,
// or one that is about no organisation.
func (p Principal) Can(what Permission) bool { return slices.Contains(p.rights(), what) }

// Permissions are what the caller may do: what their role may or, by a key that is
// for provisioning, that alone.
func (p Principal) Permissions() []Permission { return slices.Clone(p.rights()) }

func (p Principal) rights() []Permission {
	if k := p.Key(); k != nil && k.SCIM {
		return []Permission{ReadSelf, WriteSCIM}
	}
	return rights[p.role]
}

// May refuses a caller who has not a permission. fault.Forbidden.
func (p Principal) May(what Permission) error {
	if !p.Can(what) {
		f := fault.New(fault.Forbidden, "You may not do this: it takes the permission %s, and your role is %s.", what, p.role).WithCode("insufficient_permissions")
		if k := p.Key(); k != nil && k.SCIM {
			f = f.WithHint("This key is for provisioning by SCIM only.")
		}
		return f
	}
	return nil
}

// Realm is the whole of an organisation as the caller may see or change it.
// fault.NotFound where it is another's, as where it is nobody's; fault.Forbidden
// where the caller has not the permission.
func (p Principal) Realm(org OrgID, what Permission) (Realm, error) {
	if org != p.org && !p.role.IsPlatform() || org.IsZero() {
		return Realm{}, NoOrg()
	}
	if err := p.May(what); err != nil {
		return Realm{}, err
	}
	return Realm{org}, nil
}

// Own is the caller's organisation as far as it is about the caller alone.
func (p Principal) Own() Realm { return Realm{p.org} }

// NoOrg is the fault of an organisation that is not there, or not for the caller.
func NoOrg() error {
	return fault.NotFoundf("org_not_found", "There is no such organisation.")
}

// Realm bounds what a repository may read and write to one organisation, all of
// its users'. The zero Realm matches nothing.
type Realm struct{ org OrgID }

// RealmOf is the realm of an organisation for what the server does by itself, on
// behalf of a credential that it is about to check. Nothing that a caller names
// comes here.
func RealmOf(org OrgID) Realm { return Realm{org} }

// Org is the organisation.
func (r Realm) Org() OrgID { return r.org }

// Of is the scope of one user of the organisation, for what concerns them there.
func (r Realm) Of(user UserID) Scope { return Scope{org: r.org, user: user} }

// IsZero tells whether the realm matches nothing.
func (r Realm) IsZero() bool { return r.org.IsZero() }

// NoUser is the fault of a user who is not there.
func NoUser() error { return fault.NotFoundf("user_not_found", "There is no such user.") }

// NoMember is the fault of a user who does not belong to the organisation.
func NoMember() error {
	return fault.NotFoundf("member_not_found", "There is no such member of the organisation.")
}

// NoKey is the fault of a key that is not there, or another's.
func NoKey() error { return fault.NotFoundf("key_not_found", "There is no such API key.") }
