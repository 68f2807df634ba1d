package memory

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/domain/quota"
	"agentapi/ports/porttest"
)

func TestTheLimiterKeepsThePortsContract(t *testing.T) {
	porttest.Limiter(t, func(t *testing.T, test func(*testing.T, porttest.LimiterBench)) {
		synctest.Test(t, func(t *testing.T) { test(t, porttest.LimiterBench{Limiter: NewLimiter(), Pass: time.Sleep}) })
	})
}

func TestWhatIsOutOfUseIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter()
		for i := range 10 * leastSweep {
			c := quota.Claim{ID: "1", Rates: []quota.Charge{{Key: fmt.Sprint(i), Rate: quota.Rate{Limit: 60, Per: time.Minute}, N: 1}}, Places: []quota.Places{{Key: fmt.Sprint(i), Most: 1}}, Lease: time.Second}
			if _, err := l.Take(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := len(l.rates) + len(l.places); n > leastSweep {
			t.Errorf("%d accounts are kept, where about 200 are in use", n)
		}
	})
}

func TestPlacesComeFreeWhateverTheirLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter()
		taken := func(id string, lease time.Duration) bool {
			d, err := l.Take(t.Context(), quota.Claim{ID: id, Places: []quota.Places{{Key: "k", Most: 2}}, Lease: lease})
			if err != nil {
				t.Fatal(err)
			}
			return d.Granted()
		}
		for round := range 2 { // in the second one all that were held had come free
			if !taken("long", time.Hour) || !taken("short", time.Second) || taken("none", time.Second) {
				t.Fatalf("round %d: two places are not given to two", round)
			}
			time.Sleep(time.Second)
			if !taken("next", time.Minute) {
				t.Fatalf("round %d: a place is not free though its lease is over", round)
			}
			time.Sleep(time.Hour)
		}
	})
}
