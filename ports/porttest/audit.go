package porttest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

func newEntry(t *testing.T, org tenancy.OrgID, change ...func(*audit.Fields)) audit.Entry {
	t.Helper()
	f := audit.Fields{
		ID: audit.NewID(start, entropy()), Org: org, Actor: audit.System, Action: audit.ServerStarted, Target: `it's "a" \ thing – é`,
		Outcome: audit.OK, Request: "req_1", Instance: "i", At: start, Details: map[string]string{"model": "vendor/model:free", "b": ""},
	}
	for _, c := range change {
		c(&f)
	}
	e, err := audit.New(f)
	must(t, err)
	return e
}

// chain reads the whole log and holds it to be whole.
func chain(t *testing.T, s ports.Storage) (all []audit.Sealed) {
	t.Helper()
	var v audit.Verifier
	for after := uint64(0); ; {
		some, err := s.Trail().Range(t.Context(), after, 7)
		must(t, err)
		for i := range some {
			v.Add(&some[i])
			after = some[i].Seq
		}
		all = append(all, some...)
		if len(some) < 7 {
			break
		}
	}
	found := v.Verdict()
	if found.Finding != nil {
		t.Errorf("the log is not whole: %+v", *found.Finding)
	}
	head, err := s.Trail().Head(t.Context())
	must(t, err)
	if head.Seq != found.Last || head.Hash != found.Hash {
		t.Errorf("the head is %+v, the last entry %d", head, found.Last)
	}
	return all
}

func auditChain(t *testing.T, s ports.Storage) {
	if head, err := s.Trail().Head(t.Context()); err != nil || head != (audit.Head{}) {
		t.Errorf("an empty log has the head %+v, %v", head, err)
	}
	a, b := named[tenancy.OrgID]("a"), named[tenancy.OrgID]("b")
	must(t, s.Audit().Append(t.Context(), newEntry(t, tenancy.OrgID{}), newEntry(t, a)))
	in := someone(t, "a", "ann")
	must(t, s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		return errors.Join(
			tx.Audit().Append(ctx, newEntry(t, b), newEntry(t, a)),
			tx.Sessions().Create(ctx, in, newSession(in, "key")),
			tx.Audit().Append(ctx, newEntry(t, a)),
		)
	}))
	all := chain(t, s)
	if len(all) != 5 {
		t.Fatalf("%d entries", len(all))
	}
	for i, org := range []tenancy.OrgID{{}, a, b, a, a} {
		said, err := audit.Read(all[i].Canon)
		must(t, err)
		if said.Org != org || said.Columns != all[i].Columns || said.Target != `it's "a" \ thing – é` || said.Details["model"] != "vendor/model:free" || !said.At().Equal(start.Truncate(time.Microsecond)) {
			t.Errorf("entry %d: %+v", i+1, said)
		}
	}
	if got := all[4].Columns.OrgSeq; got != 3 {
		t.Errorf("the third of a's has the place %d", got)
	}
	head, err := s.Trail().Head(t.Context())
	must(t, err)
	if head.First != 1 || head.Seq != 5 {
		t.Errorf("%+v", head)
	}
}

func auditFollowsItsTransaction(t *testing.T, s ports.Storage) {
	in, wrong := someone(t, "a", "ann"), errors.New("wrong")
	v := create(t, s, in, "key")
	for _, fail := range []func(ctx context.Context, tx ports.Repositories) error{
		func(context.Context, ports.Repositories) error { return wrong },
		func(ctx context.Context, tx ports.Repositories) error { return tx.Sessions().Create(ctx, in, v) },
		func(context.Context, ports.Repositories) error { panic(wrong) },
	} {
		func() {
			defer func() { _ = recover() }()
			err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
				if err := tx.Audit().Append(ctx, newEntry(t, in.Org())); err != nil {
					return err
				}
				return fail(ctx, tx)
			})
			if err == nil {
				t.Error("it did not fail")
			}
		}()
	}
	if all := chain(t, s); len(all) != 0 {
		t.Errorf("%d entries are left of what was not stored", len(all))
	}
	// Of jobs that share a commit each takes its own along.
	var many sync.WaitGroup
	for i := range 40 {
		many.Go(func() {
			other := newSession(in, fmt.Sprint("key ", i))
			if i%4 == 0 {
				other.ID = v.ID // it is there already
			}
			err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
				err := tx.Audit().Append(ctx, newEntry(t, in.Org(), func(f *audit.Fields) { f.Target = other.Key.Value }))
				return errors.Join(err, tx.Sessions().Create(ctx, in, other))
			})
			if (err == nil) != (i%4 != 0) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	many.Wait()
	all := chain(t, s)
	seen := map[string]bool{}
	for _, e := range all {
		seen[e.Columns.Target] = true
	}
	if len(all) != 30 || len(seen) != 30 {
		t.Errorf("%d entries of %d sessions", len(all), len(seen))
	}
}

func auditPages(t *testing.T, s ports.Storage) {
	a, b := named[tenancy.OrgID]("a"), named[tenancy.OrgID]("b")
	for i := range 20 {
		org := a
		if i%2 == 1 {
			org = b
		}
		must(t, s.Audit().Append(t.Context(), newEntry(t, org, func(f *audit.Fields) {
			f.At = start.Add(time.Duration(i) * time.Second)
			f.Actor = []string{"subject_1", "subject_2"}[i/10]
			if i%5 == 0 {
				f.Action = audit.DataErased
			}
		})))
	}
	walk := func(f audit.Filter, q page.Query) (out []uint64) {
		t.Helper()
		for {
			found, err := s.Trail().List(t.Context(), f, q)
			must(t, err)
			for _, e := range found.Items {
				out = append(out, e.Seq)
			}
			if !found.More {
				return out
			}
			q.After = strconv.FormatUint(out[len(out)-1], 10)
		}
	}
	for _, c := range []struct {
		f    audit.Filter
		desc bool
		want []uint64
	}{
		{audit.Filter{Action: audit.DataErased}, false, []uint64{1, 6, 11, 16}},
		{audit.Filter{Action: audit.DataErased}, true, []uint64{16, 11, 6, 1}},
		{audit.Filter{Org: b, Actor: "subject_1"}, false, []uint64{2, 4, 6, 8, 10}},
		{audit.Filter{Since: start.Truncate(time.Microsecond).Add(3 * time.Second), Until: start.Truncate(time.Microsecond).Add(5 * time.Second)}, false, []uint64{4, 5}},
		{audit.Filter{Actor: "nobody"}, false, nil},
	} {
		same(t, walk(c.f, page.Query{Limit: 2, Desc: c.desc}), c.want)
	}
	if all := walk(audit.Filter{}, page.Query{Limit: 3}); len(all) != 20 {
		t.Errorf("%d of 20", len(all))
	}
	before, err := s.Trail().List(t.Context(), audit.Filter{}, page.Query{Limit: 2, Before: "5"})
	must(t, err)
	if len(before.Items) != 2 || before.Items[0].Seq != 3 || !before.More {
		t.Errorf("%+v", before)
	}
	for _, bad := range []string{"x", "-1"} {
		_, err := s.Trail().List(t.Context(), audit.Filter{}, page.Query{Limit: 2, After: bad})
		is(t, err, fault.Invalid, "invalid_cursor")
	}
}

func auditCheckpoints(t *testing.T, s ports.Storage) {
	if c, err := s.Trail().LastCheckpoint(t.Context()); err != nil || c != (audit.Checkpoint{}) {
		t.Errorf("%+v, %v", c, err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	var want []audit.Checkpoint
	for i := range uint64(5) {
		c := audit.Sign(key, audit.Head{Seq: i + 1, Hash: [32]byte{byte(i)}}, start, [32]byte{})
		must(t, s.Trail().Checkpoint(t.Context(), c))
		c.Number = i + 1
		want = append(want, c)
	}
	var got []audit.Checkpoint
	for after := uint64(0); ; {
		some, err := s.Trail().Checkpoints(t.Context(), after, 2)
		must(t, err)
		got = append(got, some...)
		if len(some) < 2 {
			break
		}
		after = some[1].Number
	}
	same(t, got, want)
	last, err := s.Trail().LastCheckpoint(t.Context())
	must(t, err)
	same(t, last, want[4])
}

func auditRetires(t *testing.T, s ports.Storage) {
	a, b := named[tenancy.OrgID]("a"), named[tenancy.OrgID]("b")
	for range 4 {
		must(t, s.Audit().Append(t.Context(), newEntry(t, tenancy.OrgID{}), newEntry(t, a)))
	}
	must(t, s.Audit().Append(t.Context(), newEntry(t, b), newEntry(t, tenancy.OrgID{})))
	if n, err := s.Trail().Retired(t.Context()); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	all := chain(t, s)
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	r := audit.Retire(key, 1, 8, all[7].Hash, [32]byte{1})
	says := func(action audit.Action, r audit.Retirement) uint64 {
		t.Helper()
		must(t, s.Audit().Append(t.Context(), newEntry(t, tenancy.OrgID{}, func(f *audit.Fields) { f.Action, f.Details = action, r.Details() })))
		head, err := s.Trail().Head(t.Context())
		must(t, err)
		return head.Seq
	}
	other, wrong := audit.Retire(key, 1, 7, all[6].Hash, [32]byte{1}), audit.Retire(key, 1, 8, all[6].Hash, [32]byte{1})
	recorded := says(audit.LogRetired, r)
	for what, c := range map[string]struct {
		r  audit.Retirement
		by uint64
	}{
		"no entry": {r, recorded + 100}, "another action": {r, says(audit.ServerStarted, r)}, "another range": {r, says(audit.LogRetired, other)},
		"another hash": {wrong, says(audit.LogRetired, wrong)}, "one that does not stay": {r, 3},
	} {
		if _, err := s.Trail().Retire(t.Context(), c.r, c.by); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	gone, err := s.Trail().Retire(t.Context(), r, recorded)
	must(t, err)
	if n, err := s.Trail().Retired(t.Context()); err != nil || n != recorded || gone != 8 {
		t.Errorf("%d went, recorded by %d, %v", gone, n, err)
	}
	// All go on where they were, those too of whom nothing is left.
	must(t, s.Audit().Append(t.Context(), newEntry(t, a), newEntry(t, b)))
	head, err := s.Trail().Head(t.Context())
	must(t, err)
	left, err := s.Trail().Range(t.Context(), 0, 100)
	must(t, err)
	if head.First != 9 || len(left) != int(head.Seq-8) || left[0].Prev != r.Hash {
		t.Errorf("%+v and %d entries", head, len(left))
	}
	v := audit.Verifier{Retired: []audit.Retirement{r}}
	for i := range left {
		v.Add(&left[i])
	}
	if found := v.Verdict(); found.Finding != nil || found.First != 9 {
		t.Errorf("%+v", found)
	}
	if n := len(left); left[n-2].Columns.OrgSeq != 5 || left[n-1].Columns.OrgSeq != 2 {
		t.Errorf("the organisations are at %d and %d", left[n-2].Columns.OrgSeq, left[n-1].Columns.OrgSeq)
	}
}

func auditSubjects(t *testing.T, s ports.Storage) {
	ann, bob, eve := someone(t, "a", "ann"), someone(t, "a", "bob"), someone(t, "b", "ann")
	fresh := func() audit.Subject {
		var seed [42]byte
		e := entropy()
		copy(seed[:], e[:])
		copy(seed[20:], e[:])
		return audit.NewSubject(start, seed)
	}
	first := fresh()
	got, err := s.Audit().Subject(t.Context(), ann, first)
	must(t, err)
	same(t, got, first)
	got, err = s.Audit().Subject(t.Context(), ann, fresh())
	must(t, err)
	same(t, got, first)
	for _, other := range []tenancy.Scope{bob, eve} {
		if got, err := s.Audit().Subject(t.Context(), other, fresh()); err != nil || got.ID == first.ID {
			t.Errorf("another's: %v, %v", got.ID, err)
		}
	}
	bobs, err := s.Audit().Subject(t.Context(), bob, audit.Subject{})
	must(t, err)
	for _, c := range []struct {
		in       tenancy.Realm
		users    []tenancy.UserID
		subjects []audit.SubjectID
		want     []audit.Known
	}{
		{tenancy.RealmOf(ann.Org()), []tenancy.UserID{ann.User(), named[tenancy.UserID]("none")}, nil, []audit.Known{{Subject: first.ID, User: ann.User()}}},
		{tenancy.RealmOf(ann.Org()), nil, []audit.SubjectID{bobs.ID, fresh().ID}, []audit.Known{{Subject: bobs.ID, User: bob.User()}}},
		{tenancy.RealmOf(eve.Org()), nil, []audit.SubjectID{first.ID}, nil},
		{tenancy.RealmOf(ann.Org()), nil, nil, nil},
		{tenancy.Realm{}, []tenancy.UserID{ann.User()}, nil, nil},
	} {
		if known, err := s.Audit().Known(t.Context(), c.in, c.users, c.subjects); err != nil || len(known) != len(c.want) || len(known) > 0 && known[0] != c.want[0] {
			t.Errorf("of %v and %v it knows %v, %v", c.users, c.subjects, known, err)
		}
	}
	about := func(s audit.Subject, clear string) audit.Entry {
		return newEntry(t, ann.Org(), func(f *audit.Fields) { f.Subject, f.Personal = s, map[string]string{"ip": clear} })
	}
	must(t, s.Audit().Append(t.Context(), about(first, "192.0.2.1"), about(first, "192.0.2.1"), about(first, "192.0.2.2")))
	values, err := s.Audit().Values(t.Context(), ann)
	must(t, err)
	if len(values) != 2 || values[0].Commitment != first.Commit(values[0].Clear) {
		t.Errorf("%+v", values)
	}
	for _, other := range []tenancy.Scope{bob, eve} {
		if values, err := s.Audit().Values(t.Context(), other); err != nil || len(values) != 0 {
			t.Errorf("another has %+v, %v", values, err)
		}
	}
	id, err := s.Audit().Forget(t.Context(), ann)
	must(t, err)
	same(t, id, first.ID)
	id, err = s.Audit().Forget(t.Context(), ann)
	must(t, err)
	same(t, id, audit.SubjectID{})
	// Who still holds the old pseudonym brings nothing back.
	must(t, s.Audit().Append(t.Context(), about(first, "192.0.2.3")))
	second := fresh()
	got, err = s.Audit().Subject(t.Context(), ann, second)
	must(t, err)
	same(t, got, second)
	if values, err := s.Audit().Values(t.Context(), ann); err != nil || len(values) != 0 {
		t.Errorf("%+v, %v", values, err)
	}
	for _, e := range chain(t, s) {
		if strings.Contains(string(e.Canon), "192.0.2") {
			t.Errorf("a value stands in the log: %s", e.Canon)
		}
	}
	var all sync.WaitGroup
	ids := make(chan audit.SubjectID, 16)
	for range 16 {
		all.Go(func() {
			got, err := s.Audit().Subject(t.Context(), someone(t, "c", "cat"), fresh())
			if err != nil {
				t.Error(err)
			}
			ids <- got.ID
		})
	}
	all.Wait()
	for one := <-ids; len(ids) > 0; {
		if <-ids != one {
			t.Error("one user has two pseudonyms")
		}
	}
}

// oneChain has many append at once.
func oneChain(t *testing.T, s ports.Storage) {
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			org := named[tenancy.OrgID](fmt.Sprint(w % 5))
			for range 10 {
				if err := s.Audit().Append(t.Context(), newEntry(t, org)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := len(chain(t, s)); n != 160 {
		t.Errorf("%d of 160 entries", n)
	}
}
