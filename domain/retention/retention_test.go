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
	if rules := (Policies{}).Rules(at); rules != nil {
		t.Errorf("without a policy nothing goes, but %+v", rules)
	}
}
