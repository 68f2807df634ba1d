package redis

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"agentapi/domain/quota"
	"agentapi/ports"
)

// Limiter is a ports.Limiter for all servers with the same Redis, by its clock, which may
// be set, in both directions.
type Limiter struct {
	*Client
	clock  func() time.Time     // nil: Redis's
	steady func() time.Duration // what has passed, by a clock that nobody sets
	asked  *atomic.Int64        // when the last question was put that was answered, by that clock
}

var _ ports.Limiter = Limiter{}

// NewLimiter makes a Limiter.
func NewLimiter(c *Client) Limiter {
	began := time.Now()
	return Limiter{Client: c, steady: func() time.Duration { return time.Since(began) }, asked: new(atomic.Int64)}
}

// ask runs a script about a claim. It is told the moment, unless it is to ask Redis, and
// how long ago this server has asked before: no script has run after that but others'.
func (l Limiter) ask(ctx context.Context, conn rueidis.Client, script *rueidis.Lua, c quota.Claim, args []string) rueidis.RedisResult {
	var told, gap string
	if l.clock != nil {
		told = decimal(l.clock().UnixMicro())
	}
	before := l.asked.Load() // first: another may ask and be answered meanwhile
	begun := l.steady()
	if before > 0 {
		gap = decimal((begun - time.Duration(before)).Microseconds())
	}
	r := script.Exec(ctx, conn, l.keys(c), append([]string{told + " " + gap}, args...))
	if r.Error() == nil {
		l.asked.CompareAndSwap(before, max(1, int64(begun))) // or another has asked since
	}
	return r
}

var (
	//go:embed common.lua
	commonText string
	//go:embed take.lua
	takeText string
	//go:embed settle.lua
	settleText string
	//go:embed renew.lua
	renewText string

	take   = rueidis.NewLuaScript(commonText + takeText)
	settle = rueidis.NewLuaScript(commonText + settleText)
	renew  = rueidis.NewLuaScript(commonText + renewText)
)

// keys are those of all that a claim is about. The part in braces has a cluster keep
// them in one place: what is decided in one step must be.
func (l Limiter) keys(c quota.Claim) []string {
	keys := make([]string, 0, 1+len(c.Rates)+len(c.Places))
	keys = append(keys, l.prefix+"{limits}:clock")
	for _, r := range c.Rates {
		keys = append(keys, l.prefix+"{limits}:rate:"+r.Key)
	}
	for _, p := range c.Places {
		keys = append(keys, l.prefix+"{limits}:places:"+p.Key)
	}
	return keys
}

// Take grants all of a claim or nothing.
func (l Limiter) Take(ctx context.Context, c quota.Claim) (d quota.Decision, err error) {
	args := make([]string, 0, 3+3*len(c.Rates)+len(c.Places))
	args = append(args, decimal(int64(len(c.Rates))), c.ID, decimal(c.Lease.Microseconds()))
	for _, r := range c.Rates {
		args = append(args, decimal(r.Limit), decimal(r.Per.Microseconds()), decimal(r.N))
	}
	for _, p := range c.Places {
		args = append(args, decimal(p.Most))
	}
	err = l.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		// whether it was granted, the time, what was in use of each rate, and how many hold each place
		said, err := l.ask(ctx, conn, take, c, args).AsStrSlice()
		if err != nil {
			return err
		}
		d, err = decide(c, said)
		return err
	})
	return d, err
}

// decide reads what the script said. It says what there was, and this the rest, with
// the same sums.
func decide(c quota.Claim, said []string) (quota.Decision, error) {
	if want := 2 + len(c.Rates) + len(c.Places); len(said) != want {
		return quota.Decision{}, fmt.Errorf("the script gave %d values, not %d", len(said), want)
	}
	numbers := make([]float64, len(said))
	for i, text := range said {
		var err error
		if numbers[i], err = strconv.ParseFloat(text, 64); err != nil {
			return quota.Decision{}, fmt.Errorf("the script gave what is no number: %w", err)
		}
	}
	granted, now := numbers[0] == 1, numbers[1]
	d := quota.Decision{Refused: -1, Levels: make([]quota.Level, 0, len(c.Rates)+len(c.Places))}
	for i, r := range c.Rates {
		a := quota.Account{At: now, Used: numbers[2+i]}
		after, wait := a.Spend(r.Rate, r.N, now)
		if !granted {
			after = a
			if wait != 0 {
				d.Refuse(i, wait)
			}
		}
		d.Levels = append(d.Levels, after.Level(r.Rate, now))
	}
	for i, p := range c.Places {
		held := int64(numbers[2+len(c.Rates)+i])
		switch {
		case granted:
			held++
		case held >= p.Most:
			d.Refuse(len(c.Rates)+i, quota.PlaceRetry)
		}
		d.Levels = append(d.Levels, quota.Level{Remaining: max(0, p.Most-held)})
	}
	if granted != d.Granted() {
		return d, fmt.Errorf("the script and the server disagree about a claim: granted is %v", granted)
	}
	return d, nil
}

// Settle ends a claim. Redis is told of the rates of which something comes back, and of
// the places.
func (l Limiter) Settle(ctx context.Context, c quota.Claim, back ...int64) error {
	left := quota.Claim{ID: c.ID, Places: c.Places}
	for i, r := range c.Rates {
		if i < len(back) && back[i] != 0 {
			r.N = -back[i]
			left.Rates = append(left.Rates, r)
		}
	}
	args := make([]string, 0, 2+3*len(left.Rates))
	args = append(args, decimal(int64(len(left.Rates))), left.ID)
	for _, r := range left.Rates {
		args = append(args, decimal(r.Limit), decimal(r.Per.Microseconds()), decimal(r.N))
	}
	return l.run(ctx, settle, left, args)
}

// Renew has the claim hold its places for longer.
func (l Limiter) Renew(ctx context.Context, c quota.Claim) error {
	return l.run(ctx, renew, quota.Claim{ID: c.ID, Places: c.Places}, []string{c.ID, decimal(c.Lease.Microseconds())})
}

func (l Limiter) run(ctx context.Context, script *rueidis.Lua, c quota.Claim, args []string) error {
	if len(c.Rates)+len(c.Places) == 0 {
		return ended(ctx)
	}
	return l.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		return l.ask(ctx, conn, script, c, args).Error()
	})
}
