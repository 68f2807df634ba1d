package porttest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/job"
	"agentapi/domain/page"
	"agentapi/domain/retention"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// aged stores, for each age in hours, a session with a turn and a usage record.
func aged(t *testing.T, s ports.Storage, in tenancy.Scope, hours ...int) (out []*session.Session) {
	t.Helper()
	for _, h := range hours {
		v := newSession(in, "")
		v.Updated = start.Add(-time.Duration(h) * time.Hour)
		must(t, s.Sessions().Create(t.Context(), in, v, newTurn("x")))
		must(t, s.Usage().Record(t.Context(), in, usage.Record{ID: usage.NewID(start, entropy()), Session: v.ID, Request: "req_" + v.ID.String(), At: v.Updated}))
		out = append(out, v)
	}
	return out
}

// counts is how many sessions are listed, and requests are booked.
func counts(t *testing.T, s ports.Storage, in tenancy.Scope) [2]int {
	t.Helper()
	list, err := s.Sessions().List(t.Context(), in, session.Filter{}, page.Query{Limit: page.MaxLimit})
	must(t, err)
	sum, err := s.Usage().Totals(t.Context(), in)
	must(t, err)
	return [2]int{len(list.Items), int(sum.Requests)}
}

func expires(t *testing.T, s ports.Storage) {
	ann, bob, eve := someone(t, "a", "ann"), someone(t, "a", "bob"), someone(t, "b", "eve")
	old := aged(t, s, ann, 1, 3, 5)
	aged(t, s, bob, 1, 3)
	aged(t, s, eve, 1, 3, 5, 7)
	rule := func(k retention.Kind, hours int) retention.Rule {
		return retention.Rule{Kind: k, Before: start.Add(-time.Duration(hours) * time.Hour)}
	}
	expire := func(r retention.Rule, most, want int) {
		t.Helper()
		if n, err := s.Upkeep().Expiring(t.Context(), r); err != nil || n < want {
			t.Errorf("to go are %d, %v", n, err)
		}
		if n, more, err := s.Upkeep().Expire(t.Context(), r, most); err != nil || n != want || more != (n == most) {
			t.Errorf("%d went, not %d, %v, %v", n, want, more, err)
		}
	}
	holds := func(in tenancy.Scope, sessions, requests int) {
		t.Helper()
		if got := counts(t, s, in); got != [2]int{sessions, requests} {
			t.Errorf("there are %v, not %d and %d", got, sessions, requests)
		}
	}
	but := rule(retention.Sessions, 2)
	but.Except = []tenancy.OrgID{eve.Org()}
	expire(but, 100, 3) // at exactly its age nothing goes
	holds(ann, 1, 3)
	holds(bob, 1, 2)
	holds(eve, 4, 4)
	_, err := s.Sessions().History(t.Context(), ann, old[1].ID)
	is(t, err, fault.NotFound, "session_not_found")
	only := rule(retention.Sessions, 4)
	only.Org = eve.Org()
	expire(only, 1, 1)
	expire(only, 1, 1)
	expire(only, 1, 0)
	holds(eve, 2, 4)
	expire(rule(retention.Usage, 2), 4, 4)
	expire(rule(retention.Usage, 2), 4, 2)
	holds(ann, 1, 1)
	holds(eve, 2, 1)
	_, _, err = s.Upkeep().Expire(t.Context(), retention.Rule{Kind: "all", Before: start}, 1)
	is(t, err, fault.Internal, "")
}

// rotates wants nothing to go that is not old, and what is old to be gone once the
// rest has expired, whether the storage drops it at a stroke or not.
func rotates(t *testing.T, s ports.Storage) {
	ann := someone(t, "a", "ann")
	now := time.Now() // months are made from now on
	later, sum := now.AddDate(0, 5, 0), 0
	for _, at := range []time.Time{now, now.AddDate(0, 0, 40), now.AddDate(0, 0, 75), later} {
		n, err := s.Upkeep().Rotate(t.Context(), at, time.Time{})
		must(t, err)
		sum += n
		must(t, s.Usage().Record(t.Context(), ann, usage.Record{ID: usage.NewID(at, entropy()), At: at}))
	}
	if got := counts(t, s, ann)[1]; sum != 0 || got != 4 {
		t.Errorf("%d are booked, and %d were dropped where nothing is old", got, sum)
	}
	dropped, err := s.Upkeep().Rotate(t.Context(), later, now.AddDate(0, 0, 41))
	must(t, err)
	if got := counts(t, s, ann)[1]; dropped > 2 || got != 4-dropped {
		t.Errorf("%d were dropped, and %d are left", dropped, got)
	}
	expired, _, err := s.Upkeep().Expire(t.Context(), retention.Rule{Kind: retention.Usage, Before: now.AddDate(0, 0, 41)}, 100)
	must(t, err)
	if got := counts(t, s, ann)[1]; dropped+expired != 2 || got != 2 {
		t.Errorf("%d were dropped and %d expired; %d are left", dropped, expired, got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Upkeep().Rotate(ended, now, time.Time{})
	is(t, err, fault.Canceled, "")
}

// expiresInParts has sessions with more turns than one transaction removes.
func expiresInParts(t *testing.T, s ports.Storage) {
	ann := someone(t, "a", "ann")
	for range 2 {
		turns := make([]session.Turn, 4000)
		for i := range turns {
			turns[i] = newTurn("x")
		}
		v := newSession(ann, "")
		must(t, s.Sessions().Create(t.Context(), ann, v, turns...))
	}
	rule := retention.Rule{Kind: retention.Sessions, Before: start.Add(time.Hour)}
	total := 0
	for more, calls := true, 0; more; calls++ {
		var (
			n   int
			err error
		)
		n, more, err = s.Upkeep().Expire(t.Context(), rule, 10)
		must(t, err)
		if total += n; calls > 3 {
			t.Fatal("it does not come to an end")
		}
	}
	if got := counts(t, s, ann)[0]; total != 2 || got != 0 {
		t.Errorf("%d sessions went, %d are left", total, got)
	}
}

func erases(t *testing.T, s ports.Storage) {
	ann, bob, eve := someone(t, "a", "ann"), someone(t, "a", "bob"), someone(t, "b", "ann")
	gone := aged(t, s, ann, 1, 2, 3)
	aged(t, s, bob, 1)
	aged(t, s, eve, 1)
	claim := idempotency.Claim{Key: idempotency.NewKey("r", "k"), Owner: "o", At: start, Until: start.Add(time.Hour)}
	for _, in := range []tenancy.Scope{ann, bob, eve} {
		_, err := s.Idempotency().Claim(t.Context(), in, claim)
		must(t, err)
	}
	// ann is a member of two organisations, with a key in each; bob of one.
	for _, in := range []tenancy.Scope{ann, bob, eve} {
		must(t, s.Directory().Enrol(t.Context(), standing(in)))
		must(t, s.Directory().CreateKey(t.Context(), tenancy.RealmOf(in.Org()), newKey(in)))
	}
	knows := func(in tenancy.Scope, member, user bool, keys int) {
		t.Helper()
		got, err := s.Directory().Standing(t.Context(), in.Org(), in.User())
		must(t, err)
		have, err := s.Directory().Keys(t.Context(), tenancy.RealmOf(in.Org()), tenancy.KeyFilter{Owner: in.User()}, page.Query{Limit: 10})
		must(t, err)
		if (got.Member != nil) != member || (got.User != nil) != user || len(have.Items) != keys {
			t.Errorf("of a user are known %+v, and %d keys", got, len(have.Items))
		}
	}
	defer func() {
		knows(ann, false, true, 0) // the other organisation still has them
		knows(eve, true, true, 1)
		for n := -1; n != 0; {
			var err error
			n, err = s.Upkeep().Erase(t.Context(), eve, someone(t, "b", "pseudonym").User(), 100)
			must(t, err)
		}
		knows(eve, false, false, 0)
		knows(bob, true, true, 1)
	}()
	pseudonym := someone(t, "a", "pseudonym")
	done, open := newJob(tenancy.RealmOf(ann.Org()), start), newJob(tenancy.RealmOf(ann.Org()), start.Add(time.Second))
	for _, j := range []*job.Job{done, open} {
		j.User, j.By = ann.User(), bob.User()
		must(t, s.Jobs().Create(t.Context(), tenancy.RealmOf(ann.Org()), j))
	}
	must(t, s.Jobs().Update(t.Context(), tenancy.RealmOf(ann.Org()), done.ID, func(j *job.Job) error {
		j.State, j.Finished = job.Failed, start
		return nil
	}))
	for calls := 0; ; calls++ {
		n, err := s.Upkeep().Erase(t.Context(), ann, pseudonym.User(), 2)
		must(t, err)
		if n == 0 {
			break
		}
		if n > 12 || calls > 9 {
			t.Fatalf("%d rows in call %d", n, calls)
		}
	}
	for j, want := range map[*job.Job]tenancy.UserID{done: done.Other, open: ann.User()} {
		got, err := s.Jobs().Job(t.Context(), tenancy.RealmOf(ann.Org()), j.ID)
		if must(t, err); got.User != want || got.By != bob.User() {
			t.Errorf("a job is about %v, want %v", got.User, want)
		}
	}
	if got := counts(t, s, ann); got != [2]int{} {
		t.Errorf("left are %v", got)
	}
	_, err := s.Sessions().Get(t.Context(), ann, gone[0].ID)
	is(t, err, fault.NotFound, "session_not_found")
	if out, err := s.Idempotency().Claim(t.Context(), ann, claim); err != nil || !out.Claimed {
		t.Errorf("the key is there: %+v, %v", out, err)
	}
	if got := counts(t, s, pseudonym); got != [2]int{0, 3} {
		t.Errorf("under the pseudonym are %v", got)
	}
	for _, in := range []tenancy.Scope{bob, eve} {
		if got := counts(t, s, in); got != [2]int{1, 1} {
			t.Errorf("of others are left %v", got)
		}
		_, err := s.Idempotency().Claim(t.Context(), in, claim)
		is(t, err, fault.Conflict, "idempotency_in_progress")
	}
	_, err = s.Upkeep().Erase(t.Context(), tenancy.Scope{}, pseudonym.User(), 2)
	is(t, err, fault.Forbidden, "")
}

func leases(t *testing.T, s ports.Storage) {
	lease := func(name, holder string, keep time.Duration) bool {
		t.Helper()
		held, err := s.Upkeep().Lease(t.Context(), name, holder, time.Now(), keep)
		must(t, err)
		return held
	}
	var (
		all  sync.WaitGroup
		held atomic.Int32
	)
	for i := range 8 {
		all.Go(func() {
			if lease("job", string(rune('a'+i)), time.Minute) {
				held.Add(1)
			}
		})
	}
	all.Wait()
	if held.Load() != 1 {
		t.Errorf("%d hold the lease", held.Load())
	}
	if !lease("other", "a", time.Minute) || lease("other", "b", time.Minute) || !lease("other", "a", 0) {
		t.Error("a lease is taken from its holder, or not renewed")
	}
	for until := time.Now().Add(5 * time.Second); !lease("other", "b", time.Minute); {
		if time.Now().After(until) {
			t.Fatal("a lease that has ended is not free")
		}
	}
}
