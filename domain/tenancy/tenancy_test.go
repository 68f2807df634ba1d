package tenancy

import (
	"testing"

	"agentapi/domain/fault"
	"agentapi/domain/id"
)

func TestAScopeAdmitsOnlyItsOwn(t *testing.T) {
	org, user := id.Named[orgKind]("a"), id.Named[userKind]("u")
	p, err := NewPrincipal(Identity{Role: OrgMember}, org, user)
	if err != nil {
		t.Fatal(err)
	}
	in := p.Scope()
	if !in.Admits(org, user) || in.IsZero() {
		t.Error("a caller is refused their own")
	}
	for name, other := range map[string]Scope{
		"another organisation": {id.Named[orgKind]("b"), user}, "another user": {org, id.Named[userKind]("v")}, "nobody": {},
	} {
		if in.Admits(other.Org(), other.User()) {
			t.Errorf("%s is admitted", name)
		}
	}
	if (Scope{}).Admits(OrgID{}, UserID{}) {
		t.Error("the zero scope matches something")
	}
}

func TestAPrincipalHasAnOrganisationAndAUser(t *testing.T) {
	for _, c := range []struct {
		org  OrgID
		user UserID
	}{{OrgID{}, id.Named[userKind]("u")}, {id.Named[orgKind]("a"), UserID{}}} {
		if _, err := NewPrincipal(Identity{}, c.org, c.user); !fault.Is(err, fault.Forbidden) {
			t.Errorf("got %v", err)
		}
	}
}

func TestRolesAreAClosedSet(t *testing.T) {
	if r, err := ParseRole("org_admin"); err != nil || r != OrgAdmin {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := ParseRole("root"); err == nil {
		t.Error("root was taken for a role")
	}
}
