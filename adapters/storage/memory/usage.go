package memory

import (
	"bytes"
	"context"
	"slices"

	"agentapi/domain/session"
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

// booked is a record and whose it is.
type booked struct {
	who    owner
	record usage.Record
}

func newAccount(max int) account {
	return account{max: max, totals: make(map[owner]usage.Totals), seen: make(map[usage.ID]booked)}
}

// forget takes a record out of the sums again.
func (a *account) forget(id usage.ID) {
	b := a.seen[id]
	sum := a.totals[b.who]
	sum.Requests--
	sum.PromptTokens -= int64(b.record.Tokens.Prompt)
	sum.CompletionTokens -= int64(b.record.Tokens.Completion)
	a.totals[b.who] = sum
	delete(a.seen, id)
}

// rename books what was who's under another, and tells how many records it were.
func (a *account) rename(who, other owner) (n int) {
	for id, b := range a.seen {
		if b.who == who {
			b.who = other
			b.record.Request, b.record.Session, b.record.Key = "", session.ID{}, tenancy.KeyID{}
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
		r.At = session.Moment(r.At)
		if _, dup := a.seen[r.ID]; dup {
			continue
		}
		old := a.totals[who]
		a.totals[who] = usage.Totals{
			Requests:         old.Requests + 1,
			PromptTokens:     old.PromptTokens + int64(r.Tokens.Prompt),
			CompletionTokens: old.CompletionTokens + int64(r.Tokens.Completion),
		}
		a.seen[r.ID] = booked{who, r}
		a.order = append(a.order, r.ID)
		if len(a.order) > a.max {
			delete(a.seen, a.order[0])
			a.order = a.order[1:]
		}
		c.s.charge(who, &r)
		c.s.onUndo(func() {
			a.totals[who] = old
			delete(a.seen, r.ID)
		})
	}
	return nil
}

// Records returns the user's records after the one with this id, of those that
// are remembered.
func (c usages) Records(ctx context.Context, in tenancy.Scope, after usage.ID, most int) (out []usage.Record, err error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for id, b := range c.s.usage.seen {
		if in.Admits(b.who.org, b.who.user) && bytes.Compare(id[:], after[:]) > 0 {
			out = append(out, b.record)
		}
	}
	slices.SortFunc(out, func(a, b usage.Record) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out[:min(most, len(out))], nil
}

// Report sums what was consumed in an organisation, of what is remembered.
func (c usages) Report(ctx context.Context, in tenancy.Realm, q usage.Query) ([]usage.Row, error) {
	return c.report(ctx, q, func(org tenancy.OrgID) bool { return !in.IsZero() && org == in.Org() })
}

// ReportAll sums what was consumed, of what is remembered.
func (c usages) ReportAll(ctx context.Context, q usage.Query) ([]usage.Row, error) {
	return c.report(ctx, q, func(tenancy.OrgID) bool { return true })
}

func (c usages) report(ctx context.Context, q usage.Query, of func(tenancy.OrgID) bool) ([]usage.Row, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	sums := make(map[usage.Group]usage.Sums)
	for _, b := range c.s.usage.seen {
		if of(b.who.org) && q.Has(b.who.user, &b.record) {
			g := q.Group(b.who.org, b.who.user, &b.record)
			s := sums[g]
			s.Add(&b.record)
			sums[g] = s
		}
	}
	if len(sums) > usage.MaxRows {
		return nil, usage.TooMany()
	}
	rows := make([]usage.Row, 0, len(sums))
	for g, s := range sums {
		rows = append(rows, usage.Row{Group: g, Sums: s})
	}
	slices.SortFunc(rows, usage.Compare)
	return rows, nil
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
