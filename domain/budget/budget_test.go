package budget_test

import (
	"strings"
	"testing"
	"time"

	"agentapi/domain/budget"
	"agentapi/domain/fault"
	"agentapi/domain/price"
	"agentapi/domain/tenancy"
)

func TestPeriodsBeginInUTC(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 31, 23, 30, 0, 0, time.FixedZone("west", -3600)) // the new year in UTC
	for p, want := range map[budget.Period][2]string{
		budget.Day: {"2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"}, budget.Month: {"2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"},
		budget.Total: {"1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		if got := [2]string{p.Since(at).Format(time.RFC3339), p.Until(at).Format(time.RFC3339)}; got != want {
			t.Errorf("%s is %v, not %v", p, got, want)
		}
	}
}

func TestABudgetBoundsItsOwn(t *testing.T) {
	t.Parallel()
	ann, bob, key := tenancy.UserID{1}, tenancy.UserID{2}, tenancy.KeyID{3}
	for name, c := range map[string]struct {
		b    budget.Budget
		want [3]bool // ann; ann with the key; bob
	}{
		"the organisation's": {budget.Budget{}, [3]bool{true, true, true}},
		"a user's":           {budget.Budget{User: ann}, [3]bool{true, true, false}},
		"a key's":            {budget.Budget{Key: key}, [3]bool{false, true, false}},
	} {
		if got := [3]bool{c.b.Bounds(ann, tenancy.KeyID{}), c.b.Bounds(ann, key), c.b.Bounds(bob, tenancy.KeyID{})}; got != c.want {
			t.Errorf("%s bounds %v", name, got)
		}
	}
}

func TestBudgetsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]budget.Budget{
		"of two":           {User: tenancy.UserID{1}, Key: tenancy.KeyID{1}, Period: budget.Day},
		"of no period":     {},
		"of an odd period": {Period: "week"},
		"below nothing":    {Period: budget.Day, Limit: -1},
	} {
		if err := b.Check(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsSpentSaysWhichBudgetItWas(t *testing.T) {
	t.Parallel()
	s := budget.State{Budget: budget.Budget{ID: budget.ID{7}, Period: budget.Month, Limit: 10}, Spent: 8, Reserved: 5}
	if s.Left() != -3 {
		t.Errorf("%d are left", s.Left())
	}
	if (&budget.State{Budget: budget.Budget{Limit: 0}, Spent: price.Most, Reserved: price.Most}).Left() > 0 {
		t.Error("a sum has wrapped around")
	}
	f := fault.As(budget.Spent(s, time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)))
	if f.Kind != fault.QuotaExhausted || f.Code != "insufficient_quota" || !strings.Contains(f.Message, s.ID.String()) || !strings.Contains(f.Message, "2026-04-01T00:00:00Z") {
		t.Errorf("it says %+v", f)
	}
}
