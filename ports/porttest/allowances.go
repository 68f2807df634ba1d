package porttest

import (
	"testing"

	"agentapi/domain/quota"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

func limitsAreGiven(t *testing.T, s ports.Storage) {
	ann, in := enrolled(t, s, "a", "ann")
	bob, there := enrolled(t, s, "b", "bob")
	d, ctx := s.Directory(), t.Context()
	k := newKey(ann)
	must(t, d.CreateKey(ctx, in, k))
	is := func(of tenancy.Scope, key tenancy.KeyID, want tenancy.Allowances) {
		t.Helper()
		got, err := d.Allowances(ctx, of, key)
		must(t, err)
		same(t, got, want)
	}
	is(ann, k.ID, tenancy.Allowances{})
	org, user, key := quota.Own{quota.RequestsPerMinute: 60, quota.TokensPerDay: quota.MostLimit}, quota.Own{quota.Concurrent: 0}, quota.Own{quota.Processes: 2}
	must(t, d.UpdateOrg(ctx, in.Org(), func(o *tenancy.Org) error { o.Limits = org; return nil }))
	must(t, d.UpdateMember(ctx, in, ann.User(), func(m *tenancy.Member) error { m.Limits = user; return nil }))
	must(t, d.UpdateKey(ctx, in, k.ID, func(k *tenancy.APIKey) error { k.Limits = key; return nil }))
	is(ann, k.ID, tenancy.Allowances{Org: org, User: user, Key: key})
	is(ann, tenancy.KeyID{}, tenancy.Allowances{Org: org, User: user})
	is(in.Of(bob.User()), k.ID, tenancy.Allowances{Org: org, Key: key})
	is(bob, k.ID, tenancy.Allowances{}) // another organisation's key
	is(there.Of(ann.User()), k.ID, tenancy.Allowances{})
	is(tenancy.Scope{}, k.ID, tenancy.Allowances{})
	got, err := d.Standing(ctx, ann.Org(), ann.User())
	must(t, err)
	same(t, got.Org.Limits, org)
	same(t, got.Member.Limits, user)
	found, err := d.FindKey(ctx, k.ID)
	must(t, err)
	same(t, found.Limits, key)
	// Other changes leave them, and they are taken back.
	must(t, d.UpdateOrg(ctx, in.Org(), func(o *tenancy.Org) error { o.Title = "new"; return nil }))
	must(t, d.UpdateMember(ctx, in, ann.User(), func(m *tenancy.Member) error { m.Limits = nil; return nil }))
	is(ann, k.ID, tenancy.Allowances{Org: org, Key: key})
}
