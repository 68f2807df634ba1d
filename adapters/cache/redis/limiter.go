package redis

import (
	"context"
	_ "embed"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"agentapi/domain/quota"
	"agentapi/ports"
)

// Limiter is a ports.Limiter for all servers with the same Redis, by its clock, which may
// be set, in both directions. Claims that come while it is asked about others go together.
type Limiter struct {
	*Client
	clock  func() time.Time     // nil: Redis's
	steady func() time.Duration // what has passed, by a clock that nobody sets
	asked  *atomic.Int64        // when the last question was put that was answered, by that clock
	queue  *queue
}

var _ ports.Limiter = Limiter{}

// NewLimiter makes a Limiter.
func NewLimiter(c *Client) Limiter {
	began := time.Now()
	return Limiter{Client: c, steady: func() time.Duration { return time.Since(began) }, asked: new(atomic.Int64), queue: new(queue)}
}

var (
	//go:embed common.lua
	commonText string
	//go:embed claims.lua
	claimsText string
	//go:embed renew.lua
	renewText string

	claims = rueidis.NewLuaScript(commonText + claimsText)
	renew  = rueidis.NewLuaScript(commonText + renewText)
)

// ask runs a script. It is told the moment, unless it is to ask Redis, and how long ago
// this server has asked before: no script has run after that but others'.
func (l Limiter) ask(ctx context.Context, conn rueidis.Client, script *rueidis.Lua, keys, args []string) rueidis.RedisResult {
	var told, gap string
	if l.clock != nil {
		told = decimal(l.clock().UnixMicro())
	}
	before := l.asked.Load() // first: another may ask and be answered meanwhile
	begun := l.steady()
	if before > 0 {
		gap = decimal((begun - time.Duration(before)).Microseconds())
	}
	r := script.Exec(ctx, conn, append([]string{l.prefix + "{limits}:clock"}, keys...), append([]string{told + " " + gap}, args...))
	if r.Error() == nil {
		l.asked.CompareAndSwap(before, max(1, int64(begun))) // or another has asked since
	}
	return r
}

// The part of a key in braces has a cluster keep all in one place: what is decided in one
// step must be.
func (l Limiter) rate(key string) string  { return l.prefix + "{limits}:rate:" + key }
func (l Limiter) place(key string) string { return l.prefix + "{limits}:places:" + key }

// Take grants all of a claim or nothing.
func (l Limiter) Take(ctx context.Context, c quota.Claim) (d quota.Decision, err error) {
	a := &asking{Claim: c, takes: true}
	if err := l.put(ctx, a); err != nil {
		return quota.Decision{}, err
	}
	return a.decision, nil
}

// decide reads what the script said. It says what there was, and this the rest, with
// the same sums.
func decide(c quota.Claim, now float64, said *numbers) (quota.Decision, error) {
	granted := said.next() == 1
	d := quota.Decision{Refused: -1, Levels: make([]quota.Level, 0, len(c.Rates)+len(c.Places))}
	for i, r := range c.Rates {
		a := quota.Account{At: now, Used: said.next()}
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
		held := int64(said.next())
		switch {
		case granted:
			held++
		case held >= p.Most:
			d.Refuse(len(c.Rates)+i, quota.PlaceRetry)
		}
		d.Levels = append(d.Levels, quota.Level{Remaining: max(0, p.Most-held)})
	}
	if said.err == nil && granted != d.Granted() {
		return d, fmt.Errorf("the script and the server disagree about a claim: granted is %v", granted)
	}
	return d, said.err
}

// Settle ends a claim. Redis is told of the rates of which something comes back, and of
// the places.
func (l Limiter) Settle(ctx context.Context, c quota.Claim, back ...int64) error {
	left := &asking{Claim: quota.Claim{ID: c.ID, Places: c.Places}}
	for i, r := range c.Rates {
		if i < len(back) && back[i] != 0 {
			r.N = -back[i]
			left.Rates = append(left.Rates, r)
		}
	}
	if len(left.Rates)+len(left.Places) == 0 {
		return ended(ctx)
	}
	return l.put(ctx, left)
}

// Renew has the claim hold its places for longer.
func (l Limiter) Renew(ctx context.Context, c quota.Claim) error {
	if len(c.Places) == 0 {
		return ended(ctx)
	}
	keys := make([]string, len(c.Places))
	for i, p := range c.Places {
		keys[i] = l.place(p.Key)
	}
	return l.do(ctx, func(ctx context.Context, conn rueidis.Client) error {
		return l.ask(ctx, conn, renew, keys, []string{c.ID, decimal(c.Lease.Microseconds())}).Error()
	})
}
