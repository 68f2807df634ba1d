package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"agentapi/domain/tenancy"
)

// platformAdmin is the permission that makes a platform admin. An organisation's
// role never does.
const platformAdmin = "platform:admin"

// ranks are the roles that an organisation gives, the strongest first.
var ranks = []tenancy.Role{tenancy.OrgOwner, tenancy.OrgAdmin, tenancy.OrgAuditor, tenancy.OrgMember, tenancy.Service}

// checkClaims reads who the bearer is. A claim of another type than it should
// have is no claim to guess at: the token is refused.
func checkClaims(_ context.Context, _ *Identity, t *trial) (string, error) {
	if t.issuer == nil {
		return "", errNoIssuer
	}
	names := t.issuer.Claims
	if sub, err := t.payload.name("sub"); err != nil || sub == "" {
		return "", errors.Join(errors.New("sub is missing or is none"), err)
	}
	user, err := t.payload.name(names.User)
	if err != nil || user == "" {
		return "", errors.Join(fmt.Errorf("%s, the user, is missing or is none", names.User), err)
	}
	org, err := t.payload.name(names.Org)
	if err != nil {
		return "", err
	}
	one, err := t.payload.text(names.Role)
	if err != nil {
		return "", err
	}
	many, err := t.payload.list(names.Roles)
	if err != nil {
		return "", err
	}
	permissions, err := t.payload.list(names.Permissions)
	if err != nil {
		return "", err
	}
	role := t.issuer.role(append(many, one))
	if slices.Contains(permissions, platformAdmin) {
		role = tenancy.PlatformAdmin
	}
	t.who.Issuer, t.who.Subject, t.who.Org, t.who.Role, t.who.Method = t.issuer.name(), user, org, role, "oidc"
	t.who.Email = t.payload.verified(names.Email, names.Verified)
	if org == "" {
		org = "none, and without one nothing can be asked for but by whom an invitation has brought"
	}
	address := "no verified e-mail address"
	if t.who.Email != "" {
		address = "a verified e-mail address"
	}
	return fmt.Sprintf("user %s, organisation %s, role %s, %s", user, org, role, address), nil
}

// verified is the e-mail address that a token says is verified, and empty where it
// does not say so by the one value that means it. Such a token is as good as any:
// an address grants nothing by itself.
func (m members) verified(email, verified string) string {
	address, err := m.text(email)
	if err != nil || string(m[verified]) != "true" || tenancy.CheckEmail(email, address) != nil {
		return ""
	}
	return address
}

// role is the strongest that the provider's names stand for; whoever has none is
// a member.
func (i *issuer) role(names []string) tenancy.Role {
	for _, r := range ranks {
		if slices.ContainsFunc(names, func(n string) bool { return i.RoleMap[n] == string(r) }) {
			return r
		}
	}
	return tenancy.OrgMember
}
