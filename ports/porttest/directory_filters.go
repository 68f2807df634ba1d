package porttest

import (
	"testing"

	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

func directoryFilters(t *testing.T, s ports.Storage) {
	d, ctx := s.Directory(), t.Context()
	at := func(org, user, title, name, email string, role tenancy.Role) tenancy.Scope {
		in := someone(t, org, user)
		v := standing(in)
		v.Org.Name, v.Org.Title, v.User.Subject, v.Member.Name, v.Member.Email, v.Member.Role = "ext|"+org, title, "auth0|"+user, name, email, role
		must(t, d.Enrol(ctx, v))
		return in
	}
	ann := at("a", "ann", "Ärzte %_ Inc.", "Ann Özil", "Ann@Example.com", tenancy.OrgAdmin)
	bob := at("a", "bob", "", "Bob", "", tenancy.OrgMember)
	bot := at("a", "bot", "", "100%_builds", "", tenancy.Service)
	at("b", "eve", "evil", "Ann Özil", "ann@example.com", tenancy.OrgAdmin)
	realm := tenancy.RealmOf(ann.Org())
	must(t, d.UpdateMember(ctx, realm, bob.User(), func(m *tenancy.Member) error { m.Status = tenancy.Suspended; return nil }))
	must(t, d.UpdateUser(ctx, bot.User(), func(u *tenancy.User, _ int) error { u.Status = tenancy.Suspended; return nil }))
	must(t, d.UpdateOrg(ctx, ann.Org(), func(o *tenancy.Org) error { o.Status = tenancy.Closed; return nil }))
	for name, x := range map[string]struct {
		f    tenancy.MemberFilter
		want []tenancy.UserID
	}{
		"nobody":            {tenancy.MemberFilter{Text: "zoe"}, nil},
		"roles":             {tenancy.MemberFilter{Roles: []tenancy.Role{tenancy.OrgAdmin, tenancy.Service}}, []tenancy.UserID{ann.User(), bot.User()}},
		"status":            {tenancy.MemberFilter{Status: tenancy.Suspended}, []tenancy.UserID{bob.User()}},
		"part of a name":    {tenancy.MemberFilter{Text: "öZI"}, []tenancy.UserID{ann.User()}},
		"part of a mail":    {tenancy.MemberFilter{Text: "N@EX"}, []tenancy.UserID{ann.User()}},
		"wildcards":         {tenancy.MemberFilter{Text: "%_"}, []tenancy.UserID{bot.User()}},
		"addresses":         {tenancy.MemberFilter{Emails: []string{"ANN@example.com", "x@y"}}, []tenancy.UserID{ann.User()}},
		"a part of one":     {tenancy.MemberFilter{Emails: []string{"ann@example"}}, nil},
		"no addresses":      {tenancy.MemberFilter{Emails: []string{}}, nil},
		"ids":               {tenancy.MemberFilter{Users: []tenancy.UserID{bob.User(), bot.User()}}, []tenancy.UserID{bob.User(), bot.User()}},
		"no ids":            {tenancy.MemberFilter{Users: []tenancy.UserID{}}, nil},
		"all at once":       {tenancy.MemberFilter{Roles: []tenancy.Role{tenancy.OrgMember}, Status: tenancy.Suspended, Text: "bo"}, []tenancy.UserID{bob.User()}},
		"all, and not both": {tenancy.MemberFilter{Roles: []tenancy.Role{tenancy.OrgAdmin}, Text: "bo"}, nil},
	} {
		p, err := d.Members(ctx, realm, x.f, page.Query{Limit: 10})
		must(t, err)
		var got []tenancy.UserID
		for _, m := range p.Items {
			got = append(got, m.User)
		}
		if len(got) != len(x.want) {
			t.Errorf("members by %s: %v", name, got)
			continue
		}
		same(t, got, x.want) // ids of the suite sort by name
	}
	orgs := func(f tenancy.OrgFilter, want int) {
		t.Helper()
		p, err := d.Orgs(ctx, f, page.Query{Limit: 10})
		must(t, err)
		if len(p.Items) != want {
			t.Errorf("organisations by %+v: %d", f, len(p.Items))
		}
	}
	orgs(tenancy.OrgFilter{Status: tenancy.Closed}, 1)
	orgs(tenancy.OrgFilter{Status: tenancy.Suspended}, 0)
	orgs(tenancy.OrgFilter{Text: "ÄRZ"}, 1)
	orgs(tenancy.OrgFilter{Text: "ärzte %_"}, 1)
	orgs(tenancy.OrgFilter{Text: "rzte"}, 0)
	orgs(tenancy.OrgFilter{Text: "ext|b"}, 1)
	orgs(tenancy.OrgFilter{Text: "ext|"}, 0)
	orgs(tenancy.OrgFilter{Text: "e", Status: tenancy.Closed}, 0)
	users := func(f tenancy.UserFilter, want int) {
		t.Helper()
		p, err := d.Users(ctx, f, page.Query{Limit: 10})
		must(t, err)
		if len(p.Items) != want {
			t.Errorf("users by %+v: %d", f, len(p.Items))
		}
	}
	users(tenancy.UserFilter{Status: tenancy.Suspended}, 1)
	users(tenancy.UserFilter{Status: tenancy.Active}, 3)
	users(tenancy.UserFilter{Text: "auth0|b"}, 2)
	users(tenancy.UserFilter{Text: "Auth0|b"}, 0)
	users(tenancy.UserFilter{Text: "auth0|b", Status: tenancy.Active}, 1)
	users(tenancy.UserFilter{Platform: true}, 0)
	users(tenancy.UserFilter{IDs: []tenancy.UserID{ann.User(), bot.User(), named[tenancy.UserID]("nobody")}}, 2)
	users(tenancy.UserFilter{IDs: []tenancy.UserID{ann.User(), bot.User()}, Status: tenancy.Suspended}, 1)
	users(tenancy.UserFilter{IDs: []tenancy.UserID{}}, 0)
	key := func(in tenancy.Scope, role tenancy.Role, revoked bool) tenancy.KeyID {
		k := newKey(in)
		if k.Role = role; revoked {
			k.Revoked = moment
		}
		must(t, d.CreateKey(ctx, realm, k))
		return k.ID
	}
	first := key(ann, tenancy.OrgAdmin, false)
	ended := key(ann, tenancy.OrgMember, true)
	key(bot, tenancy.Service, false)
	for f, want := range map[*tenancy.KeyFilter]int{
		{}:                  3,
		{Kept: true}:        2,
		{Owner: ann.User()}: 2,
		{Roles: []tenancy.Role{tenancy.OrgAdmin, tenancy.OrgMember}, Kept: true}: 1,
		{Roles: []tenancy.Role{}}:                 0,
		{IDs: []tenancy.KeyID{first, ended}}:      2,
		{IDs: []tenancy.KeyID{ended}, Kept: true}: 0,
		{IDs: []tenancy.KeyID{}}:                  0,
	} {
		p, err := d.Keys(ctx, realm, *f, page.Query{Limit: 10})
		must(t, err)
		if len(p.Items) != want {
			t.Errorf("keys by %+v: %d", *f, len(p.Items))
		}
	}
}
