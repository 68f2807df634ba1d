package page

import (
	"testing"

	"agentapi/domain/fault"
)

func TestAPageIsBounded(t *testing.T) {
	if q, err := (Query{}).Normal(); err != nil || q.Limit != DefaultLimit {
		t.Errorf("got %+v, %v", q, err)
	}
	for _, q := range []Query{{Limit: -1}, {Limit: MaxLimit + 1}, {After: "a", Before: "b"}} {
		if _, err := q.Normal(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v", q, err)
		}
	}
}
