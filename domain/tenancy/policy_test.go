package tenancy

import (
	"slices"
	"testing"

	"agentapi/domain/fault"
	"agentapi/domain/id"
)

func TestEachRoleMayWhatIsWritten(t *testing.T) {
	all := []Permission{
		UseChat, ReadModels, OwnSessions, ReadSelf, OwnKeys, ReadOrg, WriteOrg, ReadMembers, WriteMembers, ReadKeys, WriteKeys,
		ReadUsage, WriteBudgets, ReadAudit, ReadSessions, WriteSessions, WriteData, WriteSCIM, ReadPlatform, WritePlatform,
	}
	for role, n := range map[Role]int{Service: 4, OrgMember: 5, OrgAuditor: 11, OrgAdmin: 17, OrgOwner: 18, PlatformAuditor: 12, PlatformAdmin: 20} {
		may := role.Permissions()
		if len(may) != n {
			t.Errorf("%s has %d permissions: %v", role, len(may), may)
		}
		for _, p := range all {
			if role.Can(p) != slices.Contains(may, p) {
				t.Errorf("%s: %s", role, p)
			}
		}
	}
	if len(Roles()) != 7 || Role("root").Can(ReadSelf) {
		t.Error("there are other roles")
	}
}

func TestNobodyGivesMoreThanTheyAre(t *testing.T) {
	for _, c := range []struct {
		role, by Role
		want     bool
	}{
		{OrgMember, OrgAdmin, true}, {OrgAdmin, OrgAdmin, true}, {OrgOwner, OrgAdmin, false}, {OrgOwner, OrgOwner, true}, {OrgOwner, PlatformAdmin, true},
		{OrgAdmin, OrgAuditor, false}, {OrgAdmin, OrgMember, false}, {PlatformAdmin, OrgOwner, false}, {PlatformAuditor, OrgOwner, false},
		{PlatformAdmin, PlatformAdmin, true}, {OrgAdmin, PlatformAuditor, false}, {Service, OrgMember, true}, {"root", PlatformAdmin, false},
	} {
		if c.role.Within(c.by) != c.want {
			t.Errorf("%s given by %s: %v", c.role, c.by, !c.want)
		}
	}
}

func TestTheLesserOfTwoRolesIsWithinBoth(t *testing.T) {
	for _, a := range Roles() {
		for _, b := range Roles() {
			if both := a.Lesser(b); !both.Within(a) || !both.Within(b) || both != b.Lesser(a) || a.Within(b) && both != a {
				t.Errorf("of %s and %s it is %s", a, b, both)
			}
		}
	}
	if OrgAdmin.Lesser(PlatformAuditor) != OrgAuditor { // neither may do all that the other may
		t.Error("an administrator's key sees the platform when its owner may, or an auditor's changes something")
	}
}

func TestARealmIsTheCallersOwnUnlessThePlatforms(t *testing.T) {
	own, other := id.Named[orgKind]("a"), id.Named[orgKind]("b")
	who := func(r Role) Principal {
		p, err := NewPrincipal(Identity{Role: r}, own, id.Named[userKind]("u"))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		role Role
		org  OrgID
		what Permission
		want fault.Kind
	}{
		{OrgAdmin, own, WriteMembers, 0}, {OrgAdmin, other, WriteMembers, fault.NotFound}, {OrgMember, own, ReadMembers, fault.Forbidden},
		{OrgMember, other, ReadMembers, fault.NotFound}, {PlatformAdmin, other, WriteMembers, 0}, {PlatformAuditor, other, ReadMembers, 0},
		{PlatformAuditor, other, WriteMembers, fault.Forbidden}, {PlatformAdmin, OrgID{}, ReadMembers, fault.NotFound},
	} {
		in, err := who(c.role).Realm(c.org, c.what)
		if c.want == 0 && (err != nil || in.Org() != c.org) || c.want != 0 && (!fault.Is(err, c.want) || !in.IsZero()) {
			t.Errorf("%s, %s: got %v, %v", c.role, c.what, in, err)
		}
	}
}
