package share

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang/mock/gomock"

	"agentapi/adapters/cache/memory"
	"agentapi/domain/fault"
	"agentapi/domain/quota"
	"agentapi/ports/portmock"
	"agentapi/ports/porttest"
)

func TestTheLimiterKeepsThePortsContract(t *testing.T) {
	porttest.Limiter(t, func(t *testing.T, test func(*testing.T, porttest.LimiterBench)) {
		synctest.Test(t, func(t *testing.T) {
			l := New(Params{Shared: memory.NewLimiter(), Own: memory.NewLimiter(), Instances: 3, Changed: func(bool, error) { t.Error("nothing has changed") }})
			test(t, porttest.LimiterBench{Limiter: l, Pass: time.Sleep})
		})
	})
}

func TestTheLimiterAloneKeepsThePortsContract(t *testing.T) {
	porttest.Limiter(t, func(t *testing.T, test func(*testing.T, porttest.LimiterBench)) {
		synctest.Test(t, func(t *testing.T) {
			l, _ := alone(t, 1)
			test(t, porttest.LimiterBench{Limiter: l, Pass: time.Sleep})
		})
	})
}

// alone gives a limiter whose shared one is away, and how often it was told so.
func alone(t *testing.T, instances int) (*Limiter, *atomic.Int32) {
	t.Helper()
	gone := fault.Wrap(fault.Unavailable, errors.New("no route"), "It is away.")
	shared := portmock.NewMockLimiter(gomock.NewController(t))
	shared.EXPECT().Take(gomock.Any(), gomock.Any()).Return(quota.Decision{}, gone).AnyTimes()
	shared.EXPECT().Settle(gomock.Any(), gomock.Any(), gomock.Any()).Return(gone).AnyTimes()
	shared.EXPECT().Renew(gomock.Any(), gomock.Any()).Return(gone).AnyTimes()
	told := &atomic.Int32{}
	return New(Params{Shared: shared, Own: memory.NewLimiter(), Instances: instances, Changed: func(away bool, err error) {
		if !away || !fault.Is(err, fault.Unavailable) {
			t.Errorf("told %v, %v", away, err)
		}
		told.Add(1)
	}}), told
}

func TestWhileTheSharedOneIsAwayEachServerHasItsPart(t *testing.T) {
	l, told := alone(t, 3)
	granted := 0
	for range 100 {
		d, err := l.Take(t.Context(), quota.Claim{ID: "1", Rates: []quota.Charge{{Key: "a", Rate: quota.Rate{Limit: 60, Per: time.Hour}, N: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		if d.Granted() {
			granted++
		}
	}
	if granted != 20 || told.Load() != 1 {
		t.Errorf("%d of 60 were admitted by one of three servers, told %d times; want 20, once", granted, told.Load())
	}
	d, err := l.Take(t.Context(), quota.Claim{ID: "2", Rates: []quota.Charge{{Key: "b", Rate: quota.Rate{Limit: 2, Per: time.Hour}, N: 1}}, Places: []quota.Places{{Key: "p", Most: 1}}, Lease: time.Hour})
	if err != nil || !d.Granted() {
		t.Errorf("a part of a small limit is nothing: %+v, %v", d, err)
	}
}

func TestWhatWasGrantedAloneIsSettledAlone(t *testing.T) {
	shared := memory.NewLimiter()
	first, _ := alone(t, 1)
	var changes []bool
	l := New(Params{Shared: first.p.Shared, Own: memory.NewLimiter(), Instances: 1, Changed: func(away bool, _ error) { changes = append(changes, away) }})
	c := quota.Claim{ID: "1", Places: []quota.Places{{Key: "p", Most: 1}}, Lease: time.Hour}
	take := func(id string, want bool) {
		t.Helper()
		c.ID = id
		if d, err := l.Take(t.Context(), c); err != nil || d.Granted() != want {
			t.Errorf("%s: got %+v, %v", id, d, err)
		}
	}
	settle := func(id string) {
		t.Helper()
		c.ID = id
		if err := l.Settle(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	take("1", true)
	take("2", false)
	l.p.Shared = shared // it is back
	take("2", true)
	take("3", false)
	settle("1") // which does not free what is another's there
	take("3", false)
	settle("2")
	take("3", true)
	if len(changes) != 2 || !changes[0] || changes[1] {
		t.Errorf("told %v, want away and back", changes)
	}
}
