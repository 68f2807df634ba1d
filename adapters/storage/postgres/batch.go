package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// The words that bound a job and a transaction.
const (
	savepoint = "SAVEPOINT job"
	forget    = "RELEASE SAVEPOINT job"
	undo      = "ROLLBACK TO SAVEPOINT job"
	commit    = "COMMIT"
	bounding  = "SET LOCAL lock_timeout = " // for so many milliseconds
)

// patience is how long a statement waits for locks.
const patience = time.Second

// look is how long it is tried to find out about a commit.
const look = 1500 * time.Millisecond

// replan is after how many jobs plans are made anew, and after twice as many each time
// as the tables grow, up to seldom. The one by which a message's session is looked up is
// kept in the connection; made while the tables were empty, it reads all of an
// organisation's sessions each time, until the database counts its rows.
const (
	replan = 256
	seldom = 1 << 14
)

// numbers is how many numbers a batch may need: one for each transaction that it is sent
// as, and after each the one that says that this was not committed, and never will be.
const numbers = 8

// batch is a transaction of the instance's writer.
type batch struct {
	*wire
	s       *Store
	number  int64             // of the transaction
	sign    *statement        // says it to the database
	entries bunstore.Gathered // to be appended to the audit log
	orgs    map[int]string    // whose rows a job is about, the first that it has named
}

var _ bunstore.Batch = (*batch)(nil)

// beginning opens transactions of a pool; nothing is sent yet. The writer outlives
// the store's own hold of the pool.
func (s *Store) beginning(writes *pool) func(context.Context, <-chan struct{}) (bunstore.Batch, error) {
	return func(_ context.Context, turn <-chan struct{}) (bunstore.Batch, error) {
		return s.begin(writes.wire(turn)), nil
	}
}

func (s *Store) begin(w *wire) *batch {
	s.number += numbers
	b := &batch{wire: w, s: s, number: s.number, orgs: map[int]string{}}
	b.open()
	if s.planned >= s.replan {
		b.add("DISCARD PLANS")
		s.planned, s.replan = 0, min(2*s.replan, seldom)
	}
	return b
}

// open begins a transaction.
func (b *batch) open() {
	b.add("BEGIN")
	b.add(b.s.settings)
	b.sign = b.add(b.signs())
}

// signs is what says that the server lives, and tells after a lost answer whether the
// transaction was committed. One that was given up may be read later: it fails, as there
// has been a greater number.
func (b *batch) signs() string {
	return fmt.Sprintf("INSERT INTO instances (id, batch, until) VALUES ('%s', %d, clock_timestamp() + interval '%d ms') "+
		"ON CONFLICT (id) DO UPDATE SET batch = EXCLUDED.batch / (instances.batch < EXCLUDED.batch)::int, until = EXCLUDED.until, seen_at = clock_timestamp()",
		b.s.o.Instance, b.number, b.s.o.Lease.Milliseconds())
}

// enter names the tenant to the transaction.
func (b *batch) enter(ctx context.Context, org tenancy.OrgID) error {
	if b.orgs[b.job] == "" {
		b.orgs[b.job] = org.UUID()
	}
	return b.wire.enter(ctx, org)
}

// Job begins a job.
func (b *batch) Job(_ context.Context, n int, careful bool) (*bunstore.Repositories, error) {
	if b.job, b.careful = n, careful; !careful {
		b.s.planned++
	}
	b.org = tenancy.OrgID{}
	b.add(savepoint)
	return bunstore.Entering(b.wire, kind, b.enter).Locking().Hurrying(b.hurry, blocked).Gathering(b.entries.Job(n)), nil
}

// hurry bounds how long what follows waits for locks; 0: as long as settings say. Where
// the job is undone that is, too.
func (b *batch) hurry(wait time.Duration) {
	if wait == 0 {
		wait = patience
	}
	b.add(bounding + strconv.FormatInt(wait.Milliseconds(), 10))
}

// Keep ends the job. Its statements may still wait.
func (b *batch) Keep(ctx context.Context) error {
	if b.careful {
		if err := b.flush(ctx); err != nil {
			return bunstore.Failed(ctx, err)
		}
	}
	if b.broken != nil || b.aborted() {
		return fault.Internalf("a transaction went on after a statement had failed")
	}
	b.add(forget)
	b.job = none
	return nil
}

// Undo takes the job's statements out of the queue, and back where they were sent.
func (b *batch) Undo(context.Context) error {
	b.entries.Drop(b.job)
	if !b.careful && (b.broken != nil || b.aborted()) {
		b.failed[b.job] = b.broken // to learn what it was, and whether it is so
	}
	begun := slices.IndexFunc(b.queue, func(s *statement) bool { return s.job == b.job })
	waits := begun >= 0 && b.queue[begun].text == savepoint
	if begun >= 0 {
		b.queue = b.queue[:begun]
	}
	b.job, b.broken = none, nil
	if !waits {
		b.add(undo)
		b.add(forget)
	}
	return nil
}

// Commit sends what waits, and with it the commit, if no job has failed.
func (b *batch) Commit(ctx context.Context) (failed []int, stored bool, err error) {
	if err := b.ready(ctx); err != nil {
		return nil, false, err
	}
	b.careful = false
	if len(b.failed) == 0 {
		b.seal()
	}
	if err := b.end(ctx); err != nil {
		return nil, false, err
	}
	if len(b.failed) == 0 {
		b.release()
		return nil, false, nil
	}
	failed = slices.Sorted(maps.Keys(b.failed))
	slices.SortStableFunc(failed, b.byOrg)
	for _, n := range failed {
		b.entries.Drop(n)
		delete(b.failed, n)
	}
	if !b.crosses(failed) {
		return failed, false, nil
	}
	b.seal()
	if err := b.end(ctx); err != nil {
		return nil, false, err
	}
	b.entries = bunstore.Gathered{}
	b.sent, b.number = false, b.number+2
	b.open()
	return failed, true, nil
}

// seal has the end of the transaction wait with the rest. A head that is read in the last
// statement before the commit is the head when the batch is sent again, too.
func (b *batch) seal() {
	if entries := b.entries.All(); len(entries) > 0 {
		b.queue = append(b.queue, sealing(entries))
	}
	b.add(commit).last = true
}

// crosses tells whether jobs that are run again come to organisations before one whose rows
// others of the batch have locked.
func (b *batch) crosses(again []int) bool {
	greatest := ""
	for n, org := range b.orgs {
		if !slices.Contains(again, n) {
			greatest = max(greatest, org)
		}
	}
	return slices.ContainsFunc(again, func(n int) bool { return b.orgs[n] < greatest })
}

// byOrg puts jobs in the order in which all servers come to organisations, so that they
// never wait for each other.
func (b *batch) byOrg(one, other int) int { return strings.Compare(b.orgs[one], b.orgs[other]) }

// end sends what waits, with the commit if no more jobs turn out to have failed.
func (b *batch) end(ctx context.Context) error {
	first, waiting := !b.sent, slices.Clone(b.queue)
	done, err := b.together(ctx)
	if !done {
		b.inOrder()
		err = b.flush(ctx)
	}
	for again := first; err != nil && !b.unread && (sqlstate(err) == "" || b.dead()) && waiting[len(waiting)-1].text == commit; again = false {
		committed, lost := b.committed()
		if lost != nil {
			return bunstore.Undecided(fault.Unavailable, err)
		}
		if committed {
			b.queue, b.size, err = nil, 0, nil
		}
		if committed || !again || ctx.Err() != nil || b.reopen(ctx) != nil {
			break
		}
		// It has not happened, nor will it, and nobody has seen anything of it.
		clear(b.failed)
		b.number += 2
		b.sign.text = b.signs()
		b.queue = slices.Clone(waiting)
		b.inOrder()
		err = b.flush(ctx)
	}
	return err
}

// inOrder puts the jobs that wait in the order of their organisations. What is left of one
// that was sent in part goes before them, since it is in that one's savepoint and tenant.
func (b *batch) inOrder() {
	from := slices.IndexFunc(b.queue, func(s *statement) bool { return s.text == savepoint })
	if from < 0 {
		return
	}
	jobs := b.queue[from:]
	if end := slices.IndexFunc(jobs, func(s *statement) bool { return s.job == none }); end >= 0 {
		jobs = jobs[:end]
	}
	slices.SortStableFunc(jobs, func(one, other *statement) int { return b.byOrg(one.job, other.job) })
}

// together sends a batch of which nothing was sent yet merged. It is done, well or
// not, unless a statement has failed: then nothing has happened, and the batch is
// to be sent as it was made.
func (b *batch) together(ctx context.Context) (done bool, err error) {
	if b.sent || len(b.failed) > 0 {
		return false, nil
	}
	merged := merge(b.queue)
	if merged == nil {
		return false, nil
	}
	tags, err := b.send(ctx, merged)
	b.unread = false
	switch {
	case err == nil:
		b.queue, b.size = nil, 0
		return true, nil
	case sqlstate(err) == "":
		return true, err
	case !b.dead():
		_, err = b.send(ctx, []*statement{{text: "ROLLBACK"}})
	case len(tags) == 0: // the server took its leave before the first word
		err = b.reopen(ctx)
	default:
		return true, err
	}
	b.sent = false
	return err != nil, err
}

// Rollback gives the transaction up with its connection.
func (b *batch) Rollback() { b.release() }

// committed tells whether the batch is stored, and else has it never be. It waits for the
// end of a transaction that the server still knows.
func (b *batch) committed() (is bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), look)
	defer cancel()
	s := b.s
	b.pool.Reset()
	for {
		w := b.pool.wire(nil)
		w.add("BEGIN READ WRITE") // where others only read
		w.add(s.settings)
		w.add(fmt.Sprintf("SELECT 1 FROM instances WHERE id = '%s' FOR UPDATE", s.o.Instance))
		found := w.add(fmt.Sprintf("SELECT 1 FROM instances WHERE id = '%s' AND batch = %d", s.o.Instance, b.number))
		w.add(fmt.Sprintf("UPDATE instances SET batch = %[2]d + 1 WHERE id = '%[1]s' AND batch < %[2]d", s.o.Instance, b.number))
		w.add(commit)
		err = w.flush(ctx)
		w.release()
		if err == nil {
			return found.n == 1, nil
		}
		select {
		case <-ctx.Done():
			return false, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
