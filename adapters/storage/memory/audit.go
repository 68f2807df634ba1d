package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// logShare is what part of the bytes that sessions may hold the audit log may hold
// beside them.
const logShare = 4

// log is the audit log's latest part, and what stands apart from it.
type log struct {
	max, bytes  int
	sealer      audit.Sealer
	entries     queue[audit.Sealed] // without gaps in their numbers
	checkpoints []audit.Checkpoint
	retired     uint64 // the entry that recorded the last retirement
	subjects    map[owner]audit.Subject
	values      map[owner][]audit.Value
}

func newLog(max int) log {
	return log{
		max: max, sealer: audit.Sealer{Orgs: make(map[tenancy.OrgID]audit.Place)}, subjects: make(map[owner]audit.Subject),
		values: make(map[owner][]audit.Value),
	}
}

func sizeOfSealed(s *audit.Sealed) int {
	const own = 400 // the entry itself and its columns' texts
	return own + len(s.Canon)
}

// evict forgets the oldest entries beyond the bound.
func (l *log) evict() {
	for l.bytes > l.max && l.entries.size > 1 {
		l.drop()
	}
}

// drop forgets the oldest entry, which is not the last.
func (l *log) drop() {
	l.bytes -= sizeOfSealed(l.entries.at(0))
	l.entries.drop()
	l.sealer.Head.First++
}

// Forgets says that the oldest entries are forgotten.
func (s *Store) Forgets() bool { return true }

type audits struct {
	s *Store
	locker
}

// Append seals the entries: nothing comes between here and the commit.
func (a audits) Append(ctx context.Context, entries ...audit.Entry) error {
	leave, err := a.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	l := &a.s.log
	for _, e := range entries {
		s := l.entries.push()
		*s = l.sealer.Seal(e)
		l.bytes += sizeOfSealed(s)
		a.s.onUndo(l.unseal)
		a.remember(e)
	}
	return nil
}

// unseal takes the last entry back.
func (l *log) unseal() {
	s := l.entries.at(l.entries.size - 1)
	l.bytes -= sizeOfSealed(s)
	head, org := &l.sealer.Head, s.Columns.Org
	head.Seq, head.Hash = s.Seq-1, s.Prev
	if said, _ := audit.Read(s.Canon); said.Place.Seq > 1 {
		l.sealer.Orgs[org] = audit.Place{Seq: said.Place.Seq - 1, Prev: said.Place.Prev}
	} else {
		delete(l.sealer.Orgs, org)
	}
	if l.entries.pop(); l.entries.size == 0 {
		head.First = 0
	}
}

// remember stores an entry's personal values, where its subject is there.
func (a audits) remember(e audit.Entry) {
	l := &a.s.log
	for _, v := range e.Values() {
		for who, s := range l.subjects {
			if who.org != e.Org() || s.ID != v.Subject || slices.Contains(l.values[who], v) {
				continue
			}
			old := l.values[who]
			l.values[who] = append(slices.Clone(old), v)
			a.s.onUndo(func() { l.values[who] = old })
		}
	}
}

// Subject returns the pseudonym of the scope's user.
func (a audits) Subject(ctx context.Context, in tenancy.Scope, fresh audit.Subject) (audit.Subject, error) {
	leave, err := a.enter(ctx)
	if err != nil {
		return audit.Subject{}, err
	}
	defer leave()
	if in.IsZero() {
		return audit.Subject{}, forbidden()
	}
	l, who := &a.s.log, owner{in.Org(), in.User()}
	if s, ok := l.subjects[who]; ok {
		return s, nil
	}
	l.subjects[who] = fresh
	a.s.onUndo(func() { delete(l.subjects, who) })
	return fresh, nil
}

// Known returns those pseudonyms that are one of these users' or one of these.
func (a audits) Known(ctx context.Context, in tenancy.Realm, users []tenancy.UserID, subjects []audit.SubjectID) (out []audit.Known, err error) {
	leave, err := a.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for who, s := range a.s.log.subjects {
		if !in.IsZero() && who.org == in.Org() && (slices.Contains(users, who.user) || slices.Contains(subjects, s.ID)) {
			out = append(out, audit.Known{Subject: s.ID, User: who.user})
		}
	}
	return out, nil
}

// Values returns the personal values of the scope's user.
func (a audits) Values(ctx context.Context, in tenancy.Scope) ([]audit.Value, error) {
	leave, err := a.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	out := slices.Clone(a.s.log.values[owner{in.Org(), in.User()}])
	slices.SortFunc(out, func(a, b audit.Value) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Commitment, b.Commitment))
	})
	return out, nil
}

// Forget removes the pseudonym of the scope's user and all values.
func (a audits) Forget(ctx context.Context, in tenancy.Scope) (audit.SubjectID, error) {
	leave, err := a.enter(ctx)
	if err != nil {
		return audit.SubjectID{}, err
	}
	defer leave()
	if in.IsZero() {
		return audit.SubjectID{}, forbidden()
	}
	l, who := &a.s.log, owner{in.Org(), in.User()}
	s, ok := l.subjects[who]
	if ok {
		values := maps.Clone(l.values)
		delete(l.subjects, who)
		delete(l.values, who)
		a.s.onUndo(func() { l.subjects[who], l.values = s, values })
	}
	return s.ID, nil
}

// Trail reads the audit log.
func (s *Store) Trail() ports.Trail { return trail{s, autocommit{s}} }

type trail struct {
	s *Store
	locker
}

// List returns one page of what the filter chooses.
func (t trail) List(ctx context.Context, f audit.Filter, q page.Query) (page.Of[audit.Sealed], error) {
	leave, err := t.enter(ctx)
	if err != nil {
		return page.Of[audit.Sealed]{}, err
	}
	defer leave()
	l := &t.s.log
	found, err := cutFrom(l.entries.size, l.entries.at, q, func(s *audit.Sealed) bool { return f.Chooses(&s.Columns) }, func(cursor string) (int, bool) {
		seq, err := strconv.ParseInt(cursor, 10, 64)
		at, there := l.find(uint64(max(seq, 0)))
		if !there {
			at = -at - 1
		}
		return at, err == nil && seq >= 0
	})
	out := page.Of[audit.Sealed]{Items: make([]audit.Sealed, len(found.Items)), More: found.More}
	for i, s := range found.Items {
		out.Items[i] = *s
	}
	return out, err
}

// find finds the entry of a sequence number, or where it would stand.
func (l *log) find(seq uint64) (i int, there bool) {
	first := l.sealer.Head.First
	if seq < first {
		return 0, false
	}
	n := uint64(l.entries.size)
	return int(min(seq-first, n)), seq-first < n
}

// Range returns the entries behind a sequence number.
func (t trail) Range(ctx context.Context, after uint64, most int) ([]audit.Sealed, error) {
	leave, err := t.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	l := &t.s.log
	at, _ := l.find(after + 1)
	out := make([]audit.Sealed, min(most, l.entries.size-at))
	for i := range out {
		out[i] = *l.entries.at(at + i)
	}
	return out, nil
}

// Head returns the last entry's place.
func (t trail) Head(ctx context.Context) (audit.Head, error) {
	leave, err := t.enter(ctx)
	if err != nil {
		return audit.Head{}, err
	}
	defer leave()
	return t.s.log.sealer.Head, nil
}

// maxCheckpoints is how many checkpoints are kept: as old as entries get, or so.
const maxCheckpoints = 1000

// Checkpoint stores a checkpoint.
func (t trail) Checkpoint(ctx context.Context, c audit.Checkpoint) error {
	leave, err := t.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	l := &t.s.log
	if c.Number = 1; len(l.checkpoints) > 0 {
		c.Number = l.checkpoints[len(l.checkpoints)-1].Number + 1
	}
	if l.checkpoints = append(l.checkpoints, c); len(l.checkpoints) > maxCheckpoints {
		l.checkpoints = l.checkpoints[1:]
	}
	return nil
}

// Checkpoints returns those behind a number.
func (t trail) Checkpoints(ctx context.Context, after uint64, most int) ([]audit.Checkpoint, error) {
	leave, err := t.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	at, _ := slices.BinarySearchFunc(t.s.log.checkpoints, after+1, func(c audit.Checkpoint, n uint64) int { return cmp.Compare(c.Number, n) })
	found := t.s.log.checkpoints[at:]
	return slices.Clone(found[:min(most, len(found))]), nil
}

// LastCheckpoint returns the one that was stored last.
func (t trail) LastCheckpoint(ctx context.Context) (c audit.Checkpoint, err error) {
	leave, err := t.enter(ctx)
	if err != nil {
		return c, err
	}
	defer leave()
	if all := t.s.log.checkpoints; len(all) > 0 {
		c = all[len(all)-1]
	}
	return c, nil
}

// Retire removes the entries that an entry says are retired.
func (t trail) Retire(ctx context.Context, r audit.Retirement, recorded uint64) (int, error) {
	leave, err := t.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	l := &t.s.log
	says, said := l.find(recorded)
	last, there := l.find(r.Last)
	if !said || !there || !r.RecordedBy(l.entries.at(says)) || l.entries.at(last).Hash != r.Hash {
		return 0, fault.New(fault.Conflict, "The audit log does not say that its entries through %d are retired.", r.Last).WithCode("audit_not_retired")
	}
	gone := last + 1
	for range gone {
		l.drop()
	}
	l.retired = recorded
	return gone, nil
}

// Retired returns the number of the entry that recorded the last retirement.
func (t trail) Retired(ctx context.Context) (uint64, error) {
	leave, err := t.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	return t.s.log.retired, nil
}
