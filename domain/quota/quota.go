// Package quota decides how much of something may be used in how much time, and how
// many may use it at once.
package quota

import (
	"math"
	"time"

	"agentapi/domain/fault"
)

// Rate is how much may be used: all of Limit at one instant, and Limit more in each
// time of Per, evenly. Both are positive.
type Rate struct {
	Limit int64
	Per   time.Duration
}

// Charge takes N units, which is not negative, of a rate. What is counted under one
// key is one account.
type Charge struct {
	Key string
	Rate
	N int64
}

// Places is how many may hold a claim at once under a key.
type Places struct {
	Key  string
	Most int64
}

// Claim is all that a request takes: everything of it is granted, or nothing is.
type Claim struct {
	ID     string // of whoever holds the places
	Rates  []Charge
	Places []Places
	Lease  time.Duration // after which the places are free again, unless the claim is renewed
}

// Level is how an account stands.
type Level struct {
	Remaining int64         // units or places
	Reset     time.Duration // until all of the limit remains, if nothing is used meanwhile; 0 for places
}

// Decision is what became of a claim.
type Decision struct {
	// Refused is what stood in the way: the index of a rate, or behind those of a
	// place; -1: the claim was granted. Of several it is the one to wait longest for.
	Refused int
	// RetryAfter is how long until the claim may be granted; for a place, a guess;
	// negative: it never is, for it wants more than the limit.
	RetryAfter time.Duration
	Levels     []Level // of all rates, and behind them of all places
}

// Granted tells whether the claim was granted.
func (d Decision) Granted() bool { return d.Refused < 0 }

// Refuse notes that something stands in the way for a time, negative: for ever.
func (d *Decision) Refuse(i int, wait time.Duration) {
	if d.Granted() || d.RetryAfter >= 0 && (wait < 0 || wait > d.RetryAfter) {
		d.Refused, d.RetryAfter = i, wait
	}
}

// PlaceRetry is how long who found no place is told to wait.
const PlaceRetry = time.Second

// Validate refuses a rate that makes no sense.
func (r Rate) Validate() error {
	if r.Limit < 1 || r.Per < time.Second || r.Per > 366*24*time.Hour {
		return fault.Invalidf("limit", "out_of_range", "A limit is at least 1, in a time between a second and a year.")
	}
	return nil
}

// Account is how much of a rate is in use, as the generic cell rate algorithm has it:
// the time after which nothing would be. The zero Account is unused. All that decide
// about one account compute alike, whatever they are written in: float64 throughout, in
// the order of these expressions.
type Account struct {
	At   float64 // the moment of which Used is told, in whole microseconds since 1970
	Used float64 // microseconds until nothing is in use
}

// slack is what rounding may cost an account, in microseconds.
const slack = 1

// period is the time of a rate in microseconds, and interval what one unit takes to
// come back.
func (r Rate) period() float64   { return float64(r.Per.Microseconds()) }
func (r Rate) interval() float64 { return r.period() / float64(r.Limit) }

// Micros is a moment as accounts count it.
func Micros(t time.Time) float64 { return float64(t.UnixMicro()) }

// used is what is in use at a moment; where the clock was set back meanwhile, all that was.
func (a Account) used(now float64) float64 { return math.Max(a.Used-math.Max(now-a.At, 0), 0) }

// Add gives the account after n more units, or fewer where n is negative, whatever
// the limit is. From then on its time counts, whatever the clock said before.
func (a Account) Add(r Rate, n int64, now float64) Account {
	return Account{At: now, Used: math.Max(a.used(now)+float64(n)*r.interval(), 0)}
}

// Spend gives the account after n units, and how long until they can be had: 0 at
// once, negative never.
func (a Account) Spend(r Rate, n int64, now float64) (after Account, wait time.Duration) {
	after = a.Add(r, n, now)
	if n > r.Limit {
		return after, -1
	}
	over := after.Used - r.period()
	if over <= slack {
		return after, 0
	}
	return after, time.Duration(math.Round(over)) * time.Microsecond
}

// Level is how the account stands.
func (a Account) Level(r Rate, now float64) Level {
	used := a.used(now)
	return Level{
		Remaining: int64(math.Max(math.Floor((r.period()+slack-used)/r.interval()), 0)),
		Reset:     time.Duration(math.Round(used)) * time.Microsecond,
	}
}

// Idle tells whether nothing of the account is in use any more.
func (a Account) Idle(now float64) bool { return a.used(now) == 0 }
