package redis

import (
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/quota"
	"agentapi/ports/porttest"
	server "agentapi/test/redis"
)

func TestTheLimiterKeepsThePortsContract(t *testing.T) {
	t.Parallel()
	limiterSuite(t, server.Shared(t))
}

// limiterSuite tests the contract with a clock that is told to Redis.
func limiterSuite(t *testing.T, address string) {
	porttest.Limiter(t, func(t *testing.T, test func(*testing.T, porttest.LimiterBench)) {
		var passed, set atomic.Int64
		began := time.Now().Truncate(time.Second)
		l := NewLimiter(connect(t, address))
		l.clock = func() time.Time { return began.Add(time.Duration(passed.Load() + set.Load())) }
		l.steady = func() time.Duration { return time.Duration(passed.Load()) }
		test(t, porttest.LimiterBench{Limiter: l, Pass: func(d time.Duration) { passed.Add(int64(d)) }, Set: func(d time.Duration) { set.Add(int64(d)) }})
	})
}

// Redis forgets keys by its own clock, too.
func TestAClockThatIsSetForwardForgetsNoLimit(t *testing.T) {
	t.Parallel()
	c := connect(t, server.Shared(t))
	claim := quota.Claim{ID: "1", Lease: time.Second, Rates: []quota.Charge{{Key: "a", Rate: quota.Rate{Limit: 60, Per: time.Minute}, N: 1}}, Places: []quota.Places{{Key: "p", Most: 1}}}
	if d, err := NewLimiter(c).Take(t.Context(), claim); err != nil || !d.Granted() {
		t.Fatal(d, err)
	}
	for _, key := range []string{NewLimiter(c).rate("a"), NewLimiter(c).place("p")} {
		left, err := c.conn.Do(t.Context(), c.conn.B().Pttl().Key(key).Build()).AsInt64()
		if err != nil || time.Duration(left)*time.Millisecond < time.Hour {
			t.Errorf("%s is kept for %d ms, %v", key, left, err)
		}
	}
}

// Requests ask at the same time: one that is answered while another is about to ask has
// not come after it.
func TestWhoIsOvertakenStillKnowsWhatHasPassed(t *testing.T) {
	t.Parallel()
	l := NewLimiter(connect(t, server.Shared(t)))
	began, hour, passed := time.Now().Truncate(time.Second).Add(-2*time.Hour), time.Duration(0), time.Minute
	l.clock = func() time.Time { return began.Add(hour + passed) }
	l.steady = func() time.Duration { return passed }
	claim := func(n int64) quota.Claim {
		return quota.Claim{Rates: []quota.Charge{{Key: "a", Rate: quota.Rate{Limit: 60, Per: time.Minute}, N: n}}}
	}
	if d, err := l.Take(t.Context(), claim(60)); err != nil || !d.Granted() {
		t.Fatal(d, err)
	}
	l.steady = func() time.Duration {
		was := passed
		passed += time.Second
		l.asked.Store(int64(passed))
		return was
	}
	hour = time.Hour // somebody sets the clock
	if d, err := l.Take(t.Context(), claim(30)); err != nil || d.Granted() {
		t.Errorf("an hour is taken to have passed: %v, %v", d, err)
	}
}
