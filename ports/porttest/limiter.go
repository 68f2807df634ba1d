package porttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/quota"
	"agentapi/ports"
)

// LimiterBench is a limiter of which nothing is in use, and whose clock stands still.
type LimiterBench struct {
	Limiter ports.Limiter
	Pass    func(d time.Duration) // lets time pass for it
	Set     func(d time.Duration) // sets its clock by so much; nil: nobody can
}

// Limiter tests the contract of ports.Limiter. within runs a test with a fresh bench:
// in synctest.Test where the limiter is of this process.
func Limiter(t *testing.T, within func(t *testing.T, test func(t *testing.T, b LimiterBench))) {
	for name, test := range map[string]func(t *testing.T, b LimiterBench){
		"of many at one instant just the limit is admitted":  limiterInstant,
		"what comes back comes back evenly":                  limiterEvenly,
		"all of a claim is granted, or nothing of it":        limiterAllOrNothing,
		"the one to wait longest for is said to refuse":      limiterLongest,
		"more than the limit is never granted":               limiterNever,
		"units that were not used come back":                 limiterBack,
		"more may turn out to have been used than the limit": limiterDebt,
		"a place is free when its claim is settled":          limiterPlaces,
		"a place is free after its lease, unless renewed":    limiterLease,
		"a clock that is set back lengthens no time":         limiterBackwards,
		"a clock that is set forward gives nothing":          limiterForwards,
		"what remains is told":                               limiterLevels,
		"a limit that changes holds for what is in use":      limiterChanges,
		"random claims are decided as a plain model decides": limiterModel,
		"a claim for nothing is granted":                     limiterNothing,
		"a context that has ended is said to have":           limiterContexts,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			within(t, test)
		})
	}
}

func rateOf(key string, limit int64, per time.Duration, n int64) quota.Charge {
	return quota.Charge{Key: key, Rate: quota.Rate{Limit: limit, Per: per}, N: n}
}

func takes(t *testing.T, b LimiterBench, c quota.Claim, want bool) quota.Decision {
	t.Helper()
	d, err := b.Limiter.Take(t.Context(), c)
	if must(t, err); d.Granted() != want {
		t.Errorf("granted is %v, want %v: %+v", d.Granted(), want, d)
	}
	return d
}

func limiterInstant(t *testing.T, b LimiterBench) {
	var (
		all     sync.WaitGroup
		granted atomic.Int32
	)
	for range 30 {
		all.Go(func() {
			for range 20 {
				d, err := b.Limiter.Take(t.Context(), quota.Claim{Rates: []quota.Charge{rateOf("a", 60, time.Minute, 1)}})
				if err != nil {
					t.Error(err)
				} else if d.Granted() {
					granted.Add(1)
				}
			}
		})
	}
	all.Wait()
	if granted.Load() != 60 {
		t.Errorf("%d of 600 were admitted, want 60", granted.Load())
	}
}

func limiterEvenly(t *testing.T, b LimiterBench) {
	c := quota.Claim{Rates: []quota.Charge{rateOf("a", 60, time.Minute, 1)}}
	granted, passed := 0, time.Duration(0)
	for _, step := range []time.Duration{0, 999 * time.Millisecond, time.Millisecond, 1500 * time.Millisecond, 500 * time.Millisecond, 17 * time.Second, 40 * time.Second} {
		b.Pass(step)
		passed += step
		for {
			d, err := b.Limiter.Take(t.Context(), c)
			if must(t, err); !d.Granted() {
				if next := passed.Truncate(time.Second) + time.Second - passed; d.RetryAfter != next {
					t.Errorf("after %v the next is said to come in %v, want %v", passed, d.RetryAfter, next)
				}
				break
			}
			granted++
		}
		if want := 60 + int(passed/time.Second); granted != want {
			t.Errorf("%d were admitted in %v, want %d", granted, passed, want)
		}
	}
	b.Pass(time.Hour)
	for range 60 {
		takes(t, b, c, true)
	}
	takes(t, b, c, false) // nothing is saved up beyond the limit
}

func limiterAllOrNothing(t *testing.T, b LimiterBench) {
	both := quota.Claim{ID: "1", Rates: []quota.Charge{rateOf("wide", 100, time.Minute, 1), rateOf("narrow", 1, time.Minute, 1)}, Places: []quota.Places{{Key: "place", Most: 1}}, Lease: time.Hour}
	takes(t, b, both, true)
	both.ID = "2"
	for range 5 {
		takes(t, b, both, false)
	}
	if d := takes(t, b, quota.Claim{Rates: []quota.Charge{rateOf("wide", 100, time.Minute, 0)}}, true); d.Levels[0].Remaining != 99 {
		t.Errorf("%d remain of what was refused, want 99", d.Levels[0].Remaining)
	}
	must(t, b.Limiter.Settle(t.Context(), quota.Claim{ID: "1", Places: both.Places}))
	takes(t, b, both, false) // the rate still stands in the way
	takes(t, b, quota.Claim{ID: "3", Places: both.Places, Lease: time.Hour}, true)
}

func limiterLongest(t *testing.T, b LimiterBench) {
	c := quota.Claim{ID: "1", Rates: []quota.Charge{rateOf("minute", 1, time.Minute, 1), rateOf("day", 1, 24*time.Hour, 1), rateOf("wide", 9, time.Hour, 1)}, Places: []quota.Places{{Key: "p", Most: 1}}, Lease: time.Hour}
	takes(t, b, c, true)
	c.ID = "2"
	if d := takes(t, b, c, false); d.Refused != 1 || d.RetryAfter != 24*time.Hour {
		t.Errorf("%d refused for %v, want the second for a day", d.Refused, d.RetryAfter)
	}
	if d := takes(t, b, quota.Claim{ID: "2", Rates: c.Rates[2:], Places: c.Places, Lease: time.Hour}, false); d.Refused != 1 || d.RetryAfter != quota.PlaceRetry {
		t.Errorf("%d refused for %v, want the place", d.Refused, d.RetryAfter)
	}
}

func limiterNever(t *testing.T, b LimiterBench) {
	d := takes(t, b, quota.Claim{Rates: []quota.Charge{rateOf("day", 5, time.Hour, 1), rateOf("a", 10, time.Minute, 11)}}, false)
	if d.Refused != 1 || d.RetryAfter >= 0 {
		t.Errorf("%d refused for %v, want the second for ever", d.Refused, d.RetryAfter)
	}
	takes(t, b, quota.Claim{Rates: []quota.Charge{rateOf("a", 10, time.Minute, 10)}}, true)
}

func limiterBack(t *testing.T, b LimiterBench) {
	c := quota.Claim{ID: "1", Rates: []quota.Charge{rateOf("requests", 10, time.Minute, 1), rateOf("tokens", 1000, time.Minute, 1000)}}
	takes(t, b, c, true)
	must(t, b.Limiter.Settle(t.Context(), c, 0, 600))
	c.Rates[1].N = 601
	takes(t, b, c, false)
	c.Rates[1].N = 600
	if d := takes(t, b, c, true); d.Levels[0].Remaining != 8 || d.Levels[1].Remaining != 0 {
		t.Errorf("what remains: %+v", d.Levels)
	}
	b.Pass(time.Hour) // and giving back what has come back already saves nothing up
	must(t, b.Limiter.Settle(t.Context(), c, 1, 600))
	c.Rates[1].N = 1000
	takes(t, b, c, true)
	c.Rates[1].N = 1
	takes(t, b, c, false)
}

func limiterDebt(t *testing.T, b LimiterBench) {
	c := quota.Claim{ID: "1", Rates: []quota.Charge{rateOf("tokens", 100, 100*time.Second, 50)}}
	takes(t, b, c, true)
	must(t, b.Limiter.Settle(t.Context(), c, -150))
	c.Rates[0].N = 1
	if d := takes(t, b, c, false); d.RetryAfter != 101*time.Second || d.Levels[0].Remaining != 0 || d.Levels[0].Reset != 200*time.Second {
		t.Errorf("a debt of 100 leads to %+v", d)
	}
	b.Pass(101 * time.Second)
	takes(t, b, c, true)
	takes(t, b, c, false)
}

func limiterPlaces(t *testing.T, b LimiterBench) {
	claim := func(id string) quota.Claim {
		return quota.Claim{ID: id, Places: []quota.Places{{Key: "p", Most: 2}}, Lease: time.Hour}
	}
	takes(t, b, claim("1"), true)
	takes(t, b, claim("2"), true)
	takes(t, b, claim("3"), false)
	must(t, b.Limiter.Settle(t.Context(), claim("3"))) // who has none gives none
	takes(t, b, claim("3"), false)
	must(t, b.Limiter.Settle(t.Context(), claim("1")))
	must(t, b.Limiter.Settle(t.Context(), claim("1")))
	takes(t, b, claim("3"), true)
	takes(t, b, claim("4"), false)
}

func limiterLease(t *testing.T, b LimiterBench) {
	claim := func(id string) quota.Claim {
		return quota.Claim{ID: id, Places: []quota.Places{{Key: "p", Most: 1}}, Lease: 10 * time.Second}
	}
	takes(t, b, claim("1"), true)
	b.Pass(9 * time.Second)
	must(t, b.Limiter.Renew(t.Context(), claim("1")))
	b.Pass(9 * time.Second)
	takes(t, b, claim("2"), false)
	b.Pass(2 * time.Second)
	takes(t, b, claim("2"), true)
	must(t, b.Limiter.Renew(t.Context(), claim("1"))) // too late
	takes(t, b, claim("3"), false)
	must(t, b.Limiter.Settle(t.Context(), claim("1"))) // whose place is another's now
	takes(t, b, claim("3"), false)
	must(t, b.Limiter.Settle(t.Context(), claim("2")))
	takes(t, b, claim("3"), true)
}

// limiterBackwards sets the clock back while a rate and a place are in use, whether they
// are asked for right then or later.
func limiterBackwards(t *testing.T, b LimiterBench) {
	settable(t, b)
	rate := quota.Claim{Rates: []quota.Charge{rateOf("r", 6, time.Minute, 6)}}
	held := func(id, key string) quota.Claim {
		return quota.Claim{ID: id, Places: []quota.Places{{Key: key, Most: 1}}, Lease: time.Minute}
	}
	takes(t, b, rate, true)
	takes(t, b, held("dead", "p"), true)
	takes(t, b, held("alive", "q"), true)
	b.Set(-time.Hour)
	takes(t, b, rate, false) // nothing is forgotten
	takes(t, b, held("2", "p"), false)
	takes(t, b, held("2", "q"), false)
	b.Pass(50 * time.Second)
	must(t, b.Limiter.Renew(t.Context(), held("alive", "q")))
	rate.Rates[0].N = 5
	takes(t, b, rate, true) // and what comes back meanwhile comes back in its time
	takes(t, b, held("2", "p"), false)
	b.Pass(10 * time.Second)
	takes(t, b, held("2", "p"), true)
	takes(t, b, held("2", "q"), false)
	b.Pass(50 * time.Second)
	takes(t, b, held("2", "q"), true)
	b.Pass(time.Hour)
	rate.Rates[0].N = 6
	takes(t, b, rate, true)
	b.Set(-time.Hour)
	must(t, b.Limiter.Settle(t.Context(), rate, 3))
	rate.Rates[0].N = 3
	takes(t, b, rate, true)
	takes(t, b, rate, false)
	b.Pass(30 * time.Second)
	takes(t, b, rate, true)
}

func settable(t *testing.T, b LimiterBench) {
	t.Helper()
	if b.Set == nil {
		t.Skip("nobody can set its clock")
	}
}

// limiterForwards sets the clock forward while a rate and a place are in use, and back
// again later.
func limiterForwards(t *testing.T, b LimiterBench) {
	settable(t, b)
	rate := func(n int64) quota.Claim {
		return quota.Claim{Rates: []quota.Charge{rateOf("r", 6, time.Minute, n)}}
	}
	held := func(id string) quota.Claim {
		return quota.Claim{ID: id, Places: []quota.Places{{Key: "p", Most: 1}}, Lease: time.Minute}
	}
	takes(t, b, rate(6), true)
	takes(t, b, held("1"), true)
	for _, by := range []time.Duration{time.Hour, -time.Hour, 5 * time.Minute, -5 * time.Minute} {
		b.Set(by)
		takes(t, b, rate(1), false) // nothing has come back
		takes(t, b, held("2"), false)
		b.Pass(10 * time.Second)
		takes(t, b, rate(1), true) // and what does takes no longer than else
		takes(t, b, rate(1), false)
	}
	b.Set(time.Hour)
	b.Pass(20 * time.Second)
	takes(t, b, rate(2), true)
	takes(t, b, held("2"), true)
}

func limiterLevels(t *testing.T, b LimiterBench) {
	c := quota.Claim{ID: "1", Rates: []quota.Charge{rateOf("a", 60, time.Minute, 3), rateOf("b", 1000, time.Hour, 10)}, Places: []quota.Places{{Key: "p", Most: 3}}, Lease: time.Minute}
	want := []quota.Level{{Remaining: 57, Reset: 3 * time.Second}, {Remaining: 990, Reset: 36 * time.Second}, {Remaining: 2}}
	if d := takes(t, b, c, true); !reflect.DeepEqual(d.Levels, want) {
		t.Errorf("got %+v, want %+v", d.Levels, want)
	}
	b.Pass(1500 * time.Millisecond)
	c.Rates[0].N, c.Rates[1].N = 0, 0
	want = []quota.Level{{Remaining: 58, Reset: 1500 * time.Millisecond}, {Remaining: 990, Reset: 34500 * time.Millisecond}, {Remaining: 1}}
	c.ID = "2"
	if d := takes(t, b, c, true); !reflect.DeepEqual(d.Levels, want) {
		t.Errorf("got %+v, want %+v", d.Levels, want)
	}
}

func limiterChanges(t *testing.T, b LimiterBench) {
	takes(t, b, quota.Claim{Rates: []quota.Charge{rateOf("a", 100, time.Minute, 100)}}, true)
	takes(t, b, quota.Claim{Rates: []quota.Charge{rateOf("a", 10, time.Minute, 1)}}, false)
	b.Pass(30 * time.Second) // half of a minute is half of either limit
	takes(t, b, quota.Claim{Rates: []quota.Charge{rateOf("a", 10, time.Minute, 5)}}, true)
	takes(t, b, quota.Claim{Rates: []quota.Charge{rateOf("a", 10, time.Minute, 1)}}, false)
}

// limiterModel compares with a bucket that counts in whole nanoseconds.
func limiterModel(t *testing.T, b LimiterBench) {
	random := rand.New(rand.NewPCG(1, 2))
	rates := []quota.Rate{{Limit: 60, Per: time.Minute}, {Limit: 1000, Per: time.Second}, {Limit: 5, Per: time.Hour}, {Limit: 250_000, Per: time.Minute}}
	used := make([]int64, len(rates)) // in nanoseconds until nothing is in use
	for step := range 1500 {
		c := quota.Claim{}
		want := true
		for i, r := range rates {
			n := random.Int64N(r.Limit/4 + 2)
			c.Rates = append(c.Rates, rateOf(fmt.Sprint("rate ", i), r.Limit, r.Per, n))
			want = want && used[i]+n*int64(r.Per)/r.Limit <= int64(r.Per)
		}
		if d := takes(t, b, c, want); t.Failed() {
			t.Fatalf("step %d: %+v with %v in use", step, d, used)
		}
		for i, r := range c.Rates {
			if want {
				used[i] += r.N * int64(r.Per) / r.Limit
			}
		}
		pass := []time.Duration{0, time.Millisecond, 700 * time.Millisecond, 20 * time.Second, 12 * time.Minute}[random.IntN(5)]
		b.Pass(pass)
		for i := range used {
			used[i] = max(0, used[i]-int64(pass))
		}
	}
}

func limiterNothing(t *testing.T, b LimiterBench) {
	if d := takes(t, b, quota.Claim{ID: "1"}, true); len(d.Levels) != 0 {
		t.Errorf("got %+v", d)
	}
	must(t, b.Limiter.Settle(t.Context(), quota.Claim{ID: "1"}))
	must(t, b.Limiter.Renew(t.Context(), quota.Claim{ID: "1"}))
}

func limiterContexts(t *testing.T, b LimiterBench) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	c := quota.Claim{ID: "1", Rates: []quota.Charge{rateOf("a", 1, time.Minute, 1)}}
	for ctx, kind := range map[context.Context]fault.Kind{canceled: fault.Canceled, late: fault.Timeout} {
		all := map[string]func() error{
			"Take":   func() error { _, err := b.Limiter.Take(ctx, c); return err },
			"Settle": func() error { return b.Limiter.Settle(ctx, c) },
			"Renew":  func() error { return b.Limiter.Renew(ctx, c) },
		}
		for m := range reflect.TypeFor[ports.Limiter]().Methods() {
			if all[m.Name] == nil {
				t.Fatalf("nothing here calls %s", m.Name)
			}
			if err := all[m.Name](); !fault.Is(err, kind) {
				t.Errorf("%s: got %v, want %s", m.Name, err, kind)
			}
		}
	}
	takes(t, b, c, true)
}
