package quota

import (
	"reflect"
	"testing"

	"agentapi/domain/fault"
)

func TestLimitsThatWereGivenStandInPlaceOfTheDefaults(t *testing.T) {
	t.Parallel()
	var l Limits
	for i, b := range Bounds() { // each is a limit of its own
		l = l.Instead(Own{b: int64(i + 1)})
	}
	if want := (Limits{1, 2, 3, 4, 5, 6}); l != want {
		t.Errorf("got %+v, want %+v", l, want)
	}
	if got := l.Instead(Own{Concurrent: 0, "unknown": 9}); got != (Limits{1, 2, 3, 4, 0, 6}) {
		t.Errorf("none given in place of one: %+v", got)
	}
}

func TestLimitsAreGivenAndTakenBack(t *testing.T) {
	t.Parallel()
	n := func(n int64) *int64 { return &n }
	first, err := Own(nil).With(map[Bound]*int64{RequestsPerDay: n(7), Concurrent: n(0), TokensPerDay: nil})
	if want := (Own{RequestsPerDay: 7, Concurrent: 0}); err != nil || !reflect.DeepEqual(first, want) {
		t.Fatalf("got %v, %v, want %v", first, err, want)
	}
	second, err := first.With(map[Bound]*int64{RequestsPerDay: nil, Concurrent: nil})
	if err != nil || second != nil || len(first) != 2 {
		t.Errorf("got %v, %v, and the first is %v", second, err, first)
	}
	for _, bad := range []int64{-1, MostLimit + 1} {
		if _, err := first.With(map[Bound]*int64{TokensPerDay: n(bad)}); !fault.Is(err, fault.Invalid) || fault.As(err).Param != "tokens_per_day" {
			t.Errorf("%d: got %v", bad, err)
		}
	}
}

func TestWhatHoldsSaysWhereItIsFrom(t *testing.T) {
	t.Parallel()
	got := Holding(Limits{RequestsPerMinute: 60, RequestsPerDay: 500, TokensPerMinute: 9}, Own{RequestsPerMinute: 90, TokensPerMinute: 0, Concurrent: 5},
		Limits{RequestsPerDay: 400, TokensPerMinute: 8, TokensPerDay: 7, Concurrent: 5})
	want := []Effective{
		{RequestsPerMinute, 90, Given}, {RequestsPerDay, 400, Above}, {TokensPerMinute, 8, Above}, {TokensPerDay, 7, Above}, {Concurrent, 5, Given}, {Processes, 0, Default},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
