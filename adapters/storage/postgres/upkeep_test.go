package postgres

import (
	"strings"
	"testing"
	"time"

	"agentapi/domain/usage"
	server "agentapi/test/postgres"
)

// months are the parts that usage is kept in.
func months(t *testing.T, d *server.Database) string {
	t.Helper()
	return one[string](t, login(t, d.Owner), "SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'agentapi.usage'::regclass")
}

// What is stored before its month is made, comes into it; months go as a whole.
func TestUsageIsKeptInMonths(t *testing.T) {
	t.Parallel()
	d := server.Shared(t).Fresh(t)
	s := start(t, migrated(t, d))
	now := time.Now().UTC()
	month := func(n int) time.Time {
		return time.Date(now.Year(), now.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
	}
	name := func(n int) string { return "agentapi.usage_" + month(n).Format("2006_01") }
	book := func(n int) {
		t.Helper()
		at := month(n).AddDate(0, 0, 14)
		if err := s.Usage().Record(t.Context(), ann, usage.Record{ID: usage.NewID(at, [10]byte{byte(n + 10)}), At: at}); err != nil {
			t.Fatal(err)
		}
	}
	rotate := func(at, before time.Time, want int) {
		t.Helper()
		for i, want := range []int{want, 0} { // again, nothing is left to do
			if n, err := s.Upkeep().Rotate(t.Context(), at, before); err != nil || n != want {
				t.Fatalf("%d. time: %d went, not %d, %v", i+1, n, want, err)
			}
		}
	}
	is := func(want ...string) {
		t.Helper()
		if got := months(t, d); got != strings.Join(append(want, "agentapi.usage_default"), " ") {
			t.Errorf("there are %s, not %v", got, want)
		}
	}
	is(name(0))
	book(-3) // as copied from elsewhere
	book(0)
	book(1)
	rotate(now, time.Time{}, 0)
	is(name(0), name(1))
	book(1)
	rotate(month(2), month(0), 0)
	is(name(0), name(1), name(2), name(3))
	if n := one[int](t, server.Shared(t).Look(t, d.Name), "SELECT count(*) FROM "+name(1)); n != 1 {
		t.Errorf("%d records are in their month", n)
	}
	rotate(month(2), month(2), 3)
	is(name(2), name(3))
	if sum, err := s.Usage().Totals(t.Context(), ann); err != nil || sum.Requests != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	// The parts themselves show nobody's rows.
	book(2)
	for _, as := range []string{d.Owner, d.App} {
		var n int
		err := login(t, as).QueryRowContext(t.Context(), "SELECT count(*) FROM "+name(2)).Scan(&n)
		if as == d.App && sqlstate(err) != "42501" || as == d.Owner && (err != nil || n != 0) {
			t.Errorf("%d rows show, %v", n, err)
		}
	}
}
