package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"agentapi/domain/quota"
)

const (
	// company is how long claims wait at most for the answer to those before, while others
	// come: however far Redis is.
	company = time.Millisecond
	// mostClaims is how many go together at most, as Redis does nothing else meanwhile.
	mostClaims = 64
)

// asking is a claim that Redis is asked about.
type asking struct {
	quota.Claim
	takes    bool // else it ends
	ctx      context.Context
	decision quota.Decision // where it takes
	err      error          // its own
}

// round is claims that go together.
type round struct {
	before   <-chan struct{} // closed when those before are answered; nil: there were none
	claims   []*asking
	answered chan struct{} // closed when err is told, and what became of each
	err      error
}

// queue is where claims wait that come while others are on their way, so that under load
// few exchanges serve many.
type queue struct {
	mu   sync.Mutex
	next *round          // that waits; nil: none
	last <-chan struct{} // closed when the newest round is answered
}

// join has a claim go with those that wait. leads: nobody waits yet, and it is for the
// caller to send them.
func (q *queue) join(a *asking) (r *round, leads bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if leads = q.next == nil || len(q.next.claims) == mostClaims; leads {
		q.next = &round{before: q.last, answered: make(chan struct{})}
		q.last = q.next.answered
	}
	q.next.claims = append(q.next.claims, a)
	return q.next, leads
}

// close has nobody join a round any more.
func (q *queue) close(r *round) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.next == r {
		q.next = nil
	}
}

// put asks Redis about a claim.
func (l Limiter) put(ctx context.Context, a *asking) error {
	return l.watched(ctx, func(ctx context.Context) error {
		if err := ended(ctx); err != nil {
			return err
		}
		a.ctx = ctx
		r, leads := l.queue.join(a)
		if leads {
			l.send(ctx, r)
		}
		select {
		case <-r.answered:
			return cmp.Or(r.err, a.err)
		case <-ctx.Done():
			return ended(ctx)
		}
	})
}

// send waits for those before, and sends a round. Whoever leads it does so for the others,
// too, whether or not its own caller stays.
func (l Limiter) send(ctx context.Context, r *round) {
	defer close(r.answered)
	if r.before != nil {
		over := time.NewTimer(company)
		select {
		case <-r.before:
		case <-over.C:
		}
		over.Stop()
	}
	l.queue.close(r)
	all := slices.DeleteFunc(r.claims, func(a *asking) bool { // who has left takes nothing
		a.err = ended(a.ctx)
		return a.err != nil
	})
	if len(all) > 0 {
		r.err = l.call(context.WithoutCancel(ctx), func(ctx context.Context, conn rueidis.Client) error { return l.decideAll(ctx, conn, all) })
	}
}

// decideAll asks about claims, in one exchange. Where Redis refuses that for one's sake, it
// is asked about each alone.
func (l Limiter) decideAll(ctx context.Context, conn rueidis.Client, all []*asking) error {
	keys, args := l.question(all)
	text, err := l.ask(ctx, conn, claims, keys, args).ToString()
	if said, isRedis := rueidis.IsRedisErr(err); isRedis && !busy(said.Error()) && len(all) > 1 {
		for i, a := range all {
			if err := l.decideAll(ctx, conn, all[i:i+1]); err != nil {
				a.err = away(err)
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	said := &numbers{left: text}
	now := said.next()
	for _, a := range all {
		if !a.takes {
			continue
		}
		if a.decision, err = decide(a.Claim, now, said); err != nil {
			return err
		}
	}
	return said.err
}

// question is what the script is told of claims. What they have in common it is told once.
func (l Limiter) question(all []*asking) (keys, args []string) {
	type sum struct {
		key string
		quota.Rate
	}
	var (
		rates, places = make(map[sum]int), make(map[string]int)
		of            []string // the places
		sums, b       []byte
	)
	args = make([]string, 1, 1+2*len(all))
	for _, a := range all {
		b = append(b[:0], '0')
		if a.takes {
			b[0] = '1'
		}
		b = number(number(b, a.Lease.Microseconds()), int64(len(a.Rates)))
		for _, r := range a.Rates {
			s := sum{r.Key, r.Rate}
			if rates[s] == 0 {
				keys = append(keys, l.rate(r.Key))
				rates[s] = len(keys)
				sums = number(number(sums, r.Limit), r.Per.Microseconds())
			}
			b = number(number(b, int64(rates[s])), r.N)
		}
		for _, p := range a.Places {
			if places[p.Key] == 0 {
				of = append(of, l.place(p.Key))
				places[p.Key] = len(of)
			}
			b = number(number(b, int64(places[p.Key])), p.Most)
		}
		args = append(args, a.ID, string(b))
	}
	args[0] = string(sums)
	return append(keys, of...), args
}

func number(b []byte, n int64) []byte { return strconv.AppendInt(append(b, ' '), n, 10) }

// numbers are what a script has said.
type numbers struct {
	left string
	err  error // that one was missing, or none
}

func (n *numbers) next() float64 {
	text, left, _ := strings.Cut(n.left, " ")
	n.left = left
	is, err := strconv.ParseFloat(text, 64)
	if err != nil && n.err == nil {
		n.err = fmt.Errorf("the script gave what is no number: %w", err)
	}
	return is
}
