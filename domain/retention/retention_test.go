package retention

import (
	"testing"
	"time"

	"agentapi/domain/id"
	"agentapi/domain/tenancy"
)

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

func TestAnOrganisationsOwnPolicyCountsWhole(t *testing.T) {
	const day = 24 * time.Hour
	own, other := named(tenancy.OrgID{}, "own"), named(tenancy.OrgID{}, "other")
	at := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	p := Policies{Policy: Policy{Sessions: 10 * day, Usage: 20 * day}, Orgs: map[tenancy.OrgID]Policy{own: {Sessions: day}}}
	var meant []string
	for _, r := range p.Rules(at) {
		if r.Admits(own) {
			meant = append(meant, "own "+string(r.Kind)+r.Before.Format(" 02"))
		}
		if r.Admits(other) {
			meant = append(meant, "other "+string(r.Kind)+r.Before.Format(" 02"))
		}
	}
	want := []string{"other sessions 21", "other usage 11", "own sessions 30"}
	if len(meant) != len(want) {
		t.Fatalf("got %q", meant)
	}
	for i := range want {
		if meant[i] != want[i] {
			t.Errorf("got %q", meant)
		}
	}
	if holds, its := p.Of(own); holds != p.Orgs[own] || !its {
		t.Errorf("its own is %+v, %v", holds, its)
	}
	if holds, its := p.Of(other); holds != p.Policy || its {
		t.Errorf("another's is %+v, %v", holds, its)
	}
	if rules := (Policies{}).Rules(at); rules != nil {
		t.Errorf("without a policy nothing goes, but %+v", rules)
	}
}

func TestUsageIsGoneWhereNobodyKeepsIt(t *testing.T) {
	const day = 24 * time.Hour
	a, b := named(tenancy.OrgID{}, "a"), named(tenancy.OrgID{}, "b")
	at := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	keeps := func(all time.Duration, own map[tenancy.OrgID]Policy) Policies {
		return Policies{Policy: Policy{Usage: all}, Orgs: own}
	}
	for name, c := range map[string]struct {
		p    Policies
		want time.Time
	}{
		"for ever":              {keeps(0, nil), time.Time{}},
		"all alike":             {keeps(10*day, nil), at.Add(-10 * day)},
		"one keeps it longer":   {keeps(10*day, map[tenancy.OrgID]Policy{a: {Usage: 20 * day}, b: {Usage: day}}), at.Add(-20 * day)},
		"one keeps it for ever": {keeps(10*day, map[tenancy.OrgID]Policy{a: {Usage: 20 * day}, b: {}}), time.Time{}},
		"most keep it for ever": {keeps(0, map[tenancy.OrgID]Policy{a: {Usage: 20 * day}}), time.Time{}},
	} {
		if got := c.p.UsageGone(at); !got.Equal(c.want) {
			t.Errorf("%s: got %v, not %v", name, got, c.want)
		}
	}
}

func TestAnOrganisationHasItsDataKeptForLessTimeAndNotForMore(t *testing.T) {
	const day = 24 * time.Hour
	plain, own := named(tenancy.OrgID{}, "plain"), named(tenancy.OrgID{}, "own")
	p := Policies{Policy: Policy{Sessions: 10 * day}, Orgs: map[tenancy.OrgID]Policy{own: {Usage: 20 * day}}}
	with := p.With(map[tenancy.OrgID]tenancy.Keeps{plain: {Sessions: day, Usage: 2 * day}, own: {Usage: 30 * day}})
	for org, want := range map[tenancy.OrgID]Policy{plain: {day, 2 * day}, own: {0, 20 * day}, named(tenancy.OrgID{}, "other"): {10 * day, 0}} {
		if holds, _ := with.Of(org); holds != want {
			t.Errorf("%v: got %+v, want %+v", org, holds, want)
		}
	}
	if _, was := p.Of(plain); was {
		t.Error("the configuration's have changed")
	}
}

func TestHowAgentsWereIsThePlatformsToKeep(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	p := Policies{AgentHealth: time.Hour}
	wished := p.With(map[tenancy.OrgID]tenancy.Keeps{{1}: {Sessions: time.Minute}})
	for name, rules := range map[string][]Rule{"as it is": p.Rules(at), "where an organisation wishes something": wished.Rules(at)} {
		n := 0
		for _, r := range rules {
			if r.Kind == AgentHealth {
				n++
				if !r.Before.Equal(at.Add(-time.Hour)) || !r.Org.IsZero() || len(r.Except) > 0 {
					t.Errorf("%s: the rule is %+v", name, r)
				}
			}
		}
		if n != 1 {
			t.Errorf("%s: there are %d rules", name, n)
		}
	}
	if rules := (Policies{}).Rules(at); len(rules) != 0 {
		t.Errorf("for ever is %+v", rules)
	}
}
