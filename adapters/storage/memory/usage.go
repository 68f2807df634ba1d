package memory

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

// account sums usage as it comes. It remembers the last max records, so that a record
// is known when it is booked again soon.
type account struct {
	max    int
	totals map[owner]*usage.Totals
	booked queue[booked]
	seen   map[usage.ID]struct{} // the ids of what is booked
}

// booked is a record and whose it is; one that is forgotten is zero.
type booked struct {
	who    owner
	record usage.Record
}

func newAccount(max int) account {
	return account{max: max, totals: make(map[owner]*usage.Totals), seen: make(map[usage.ID]struct{})}
}

// book adds a record to the sums, and gives it as it is kept.
func (a *account) book(who owner, r *usage.Record) *usage.Record {
	b := a.booked.push()
	b.who, b.record = who, *r
	b.record.At = session.Moment(r.At)
	a.seen[r.ID] = struct{}{}
	a.count(who, usage.Totals{Requests: 1, PromptTokens: int64(r.Tokens.Prompt), CompletionTokens: int64(r.Tokens.Completion)})
	return &b.record
}

// count adds to the sums of one user.
func (a *account) count(who owner, more usage.Totals) {
	sum := a.totals[who]
	if sum == nil {
		sum = new(usage.Totals)
		a.totals[who] = sum
	}
	sum.Requests += more.Requests
	sum.PromptTokens += more.PromptTokens
	sum.CompletionTokens += more.CompletionTokens
}

// unbook takes the record that was booked last out again.
func (a *account) unbook() {
	a.forget(a.booked.at(a.booked.size - 1))
	a.booked.pop()
}

// forget takes a record out of the sums again.
func (a *account) forget(b *booked) {
	a.count(b.who, usage.Totals{Requests: -1, PromptTokens: -int64(b.record.Tokens.Prompt), CompletionTokens: -int64(b.record.Tokens.Completion)})
	delete(a.seen, b.record.ID)
	*b = booked{}
}

// evict forgets the oldest records beyond the bound; they stay in the sums.
func (a *account) evict() {
	for a.booked.size > a.max {
		delete(a.seen, a.booked.at(0).record.ID)
		a.booked.drop()
	}
}

// records are what is booked and not forgotten, by age.
func (a *account) records() iter.Seq[*booked] {
	return func(yield func(*booked) bool) {
		for i := range a.booked.size {
			if b := a.booked.at(i); !b.record.ID.IsZero() && !yield(b) {
				return
			}
		}
	}
}

// rename books what was who's under another, and tells how many records it were.
func (a *account) rename(who, other owner) (n int) {
	for b := range a.records() {
		if b.who == who {
			b.who = other
			b.record.Request, b.record.Session, b.record.Key = "", session.ID{}, tenancy.KeyID{}
			n++
		}
	}
	if sum := a.totals[who]; sum != nil {
		n = max(n, 1)
		a.count(other, *sum)
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
	for i := range records {
		if _, dup := a.seen[records[i].ID]; dup {
			continue
		}
		kept := a.book(who, &records[i])
		c.s.onUndo(a.unbook)
		c.s.charge(who, kept)
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
	for b := range c.s.usage.records() {
		if in.Admits(b.who.org, b.who.user) && bytes.Compare(b.record.ID[:], after[:]) > 0 {
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
	for b := range c.s.usage.records() {
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
	if sum := c.s.usage.totals[owner{in.Org(), in.User()}]; sum != nil {
		return *sum, nil
	}
	return usage.Totals{}, nil
}
