package memory

import (
	"context"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

// account sums usage as it comes. It remembers the ids of the last max records,
// so that a record is known when it is booked again soon.
type account struct {
	max    int
	totals map[owner]usage.Totals
	seen   map[usage.ID]booked
	order  []usage.ID
}

// booked is what a record has added to whose sum, and when.
type booked struct {
	who    owner
	at     time.Time
	tokens chat.Usage
}

func newAccount(max int) account {
	return account{max: max, totals: make(map[owner]usage.Totals), seen: make(map[usage.ID]booked)}
}

// forget takes a record out of the sums again.
func (a *account) forget(id usage.ID) {
	b := a.seen[id]
	sum := a.totals[b.who]
	sum.Requests--
	sum.PromptTokens -= int64(b.tokens.Prompt)
	sum.CompletionTokens -= int64(b.tokens.Completion)
	a.totals[b.who] = sum
	delete(a.seen, id)
}

// rename books what was who's under another, and tells how many records it were.
func (a *account) rename(who, other owner) (n int) {
	for id, b := range a.seen {
		if b.who == who {
			b.who = other
			a.seen[id] = b
			n++
		}
	}
	old, sum := a.totals[who], a.totals[other]
	if _, any := a.totals[who]; any {
		n = max(n, 1)
		a.totals[other] = usage.Totals{
			Requests: old.Requests + sum.Requests, PromptTokens: old.PromptTokens + sum.PromptTokens,
			CompletionTokens: old.CompletionTokens + sum.CompletionTokens,
		}
		delete(a.totals, who)
	}
	return n
}

type usages struct {
	s *Store
	locker
}

// Record books records.
func (c usages) Record(ctx context.Context, in tenancy.Scope, records ...usage.Record) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if in.IsZero() {
		return forbidden()
	}
	a, who := &c.s.usage, owner{in.Org(), in.User()}
	for _, r := range records {
		if _, dup := a.seen[r.ID]; dup {
			continue
		}
		old := a.totals[who]
		a.totals[who] = usage.Totals{
			Requests:         old.Requests + 1,
			PromptTokens:     old.PromptTokens + int64(r.Tokens.Prompt),
			CompletionTokens: old.CompletionTokens + int64(r.Tokens.Completion),
		}
		a.seen[r.ID] = booked{who, r.At, r.Tokens}
		a.order = append(a.order, r.ID)
		if len(a.order) > a.max {
			delete(a.seen, a.order[0])
			a.order = a.order[1:]
		}
		c.s.onUndo(func() {
			a.totals[who] = old
			delete(a.seen, r.ID)
		})
	}
	return nil
}

// Totals sums what the scope's user consumed.
func (c usages) Totals(ctx context.Context, in tenancy.Scope) (usage.Totals, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return usage.Totals{}, err
	}
	defer leave()
	return c.s.usage.totals[owner{in.Org(), in.User()}], nil
}
