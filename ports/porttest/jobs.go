package porttest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/job"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// employer is an organisation that may have jobs.
func employer(t *testing.T, s ports.Storage, name string) tenancy.Realm {
	t.Helper()
	id := named[tenancy.OrgID](name)
	must(t, s.Directory().Enrol(t.Context(), tenancy.Standing{Org: &tenancy.Org{ID: id, Issuer: "i", Name: name, Title: name, Status: tenancy.Active, Version: 1, Created: start, Updated: start}}))
	return tenancy.RealmOf(id)
}

func newJob(in tenancy.Realm, at time.Time) *job.Job {
	return &job.Job{
		ID: job.NewID(at, entropy()), Kind: job.EraseUser, Org: in.Org(), User: named[tenancy.UserID]("ann"), By: named[tenancy.UserID]("bob"),
		Other: named[tenancy.UserID]("other"), State: job.Queued, Created: at, Updated: at,
	}
}

func jobsAreKept(t *testing.T, s ports.Storage) {
	acme, evil := employer(t, s, "acme"), employer(t, s, "evil")
	var all []*job.Job
	for i := range 3 {
		j := newJob(acme, start.Add(time.Duration(i)*time.Second))
		must(t, s.Jobs().Create(t.Context(), acme, j))
		all = append(all, j)
	}
	is(t, s.Jobs().Create(t.Context(), acme, all[0]), fault.Conflict, "")
	is(t, s.Jobs().Create(t.Context(), evil, newJob(acme, start)), fault.Forbidden, "")
	is(t, s.Jobs().Create(t.Context(), tenancy.Realm{}, newJob(acme, start)), fault.Forbidden, "")
	want := *all[0]
	want.Version, want.Created, want.Updated = 1, session.Moment(want.Created), session.Moment(want.Updated)
	got, err := s.Jobs().Job(t.Context(), acme, want.ID)
	must(t, err)
	same(t, got, &want)
	for name, in := range map[string]tenancy.Realm{"another organisation": evil, "nobody": {}} {
		_, err := s.Jobs().Job(t.Context(), in, want.ID)
		if f := fault.As(err); f == nil || f.Code != "job_not_found" {
			t.Errorf("%s gets %v", name, err)
		}
		if list, err := s.Jobs().List(t.Context(), in, page.Query{Limit: 10}); err != nil || len(list.Items) != 0 {
			t.Errorf("%s lists %v, %v", name, list.Items, err)
		}
		if err := s.Jobs().Update(t.Context(), in, want.ID, func(*job.Job) error { return nil }); !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Forbidden) {
			t.Errorf("%s changes it: %v", name, err)
		}
	}
	list, err := s.Jobs().List(t.Context(), acme, page.Query{Limit: 2, Desc: true})
	must(t, err)
	if len(list.Items) != 2 || !list.More || list.Items[0].ID != all[2].ID || list.Items[1].ID != all[1].ID {
		t.Errorf("listed are %v", list.Items)
	}
	list, err = s.Jobs().List(t.Context(), acme, page.Query{Limit: 2, Desc: true, After: all[1].ID.String()})
	must(t, err)
	if len(list.Items) != 1 || list.More || list.Items[0].ID != all[0].ID {
		t.Errorf("then listed are %v", list.Items)
	}
	_, err = s.Jobs().List(t.Context(), acme, page.Query{Limit: 2, After: "x"})
	is(t, err, fault.Invalid, "invalid_cursor")
	must(t, s.Jobs().Update(t.Context(), acme, want.ID, func(j *job.Job) error {
		j.Kind, j.By, j.User, j.Created = "x", tenancy.UserID{}, j.Other, start.Add(time.Hour)
		if err := j.Begin("a", start, start.Add(time.Minute)); err != nil {
			return err
		}
		return j.End("a", 7, fault.New(fault.Unavailable, "Away.").WithCode("away"), start.Add(time.Second))
	}))
	is(t, s.Jobs().Update(t.Context(), acme, want.ID, func(*job.Job) error { return fault.New(fault.Gone, "x") }), fault.Gone, "")
	want.User = want.Other
	want.State, want.Rows, want.Tries, want.Code, want.Message, want.Version = job.Failed, 7, 1, "away", "Away.", 2
	want.Until, want.Updated, want.Finished = session.Moment(start.Add(time.Second)), session.Moment(start.Add(time.Second)), session.Moment(start.Add(time.Second))
	got, err = s.Jobs().Job(t.Context(), acme, want.ID)
	must(t, err)
	same(t, got, &want)
}

func jobsAreToDo(t *testing.T, s ports.Storage) {
	acme, evil := employer(t, s, "acme"), employer(t, s, "evil")
	var want []job.Ref
	for i, in := range []tenancy.Realm{acme, evil, acme, evil, acme} {
		j := newJob(in, start.Add(time.Duration(i)*time.Second))
		must(t, s.Jobs().Create(t.Context(), in, j))
		want = append(want, job.Ref{Org: j.Org, ID: j.ID})
	}
	free := func(at time.Time, most int, want ...job.Ref) {
		t.Helper()
		got, err := s.Jobs().Free(t.Context(), at, most)
		must(t, err)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("to do are %v, want %v", got, want)
		}
	}
	free(start, 3, want[:3]...)
	begin := func(r job.Ref) {
		t.Helper()
		must(t, s.Jobs().Update(t.Context(), tenancy.RealmOf(r.Org), r.ID, func(j *job.Job) error { return j.Begin("a", start, start.Add(time.Minute)) }))
	}
	begin(want[0])
	begin(want[1])
	must(t, s.Jobs().Update(t.Context(), evil, want[1].ID, func(j *job.Job) error { return j.End("a", 1, nil, start.Add(time.Second)) }))
	free(start.Add(59*time.Second), 10, want[2:]...)
	free(start.Add(time.Minute), 10, want[0], want[2], want[3], want[4])
	n, err := s.Jobs().Prune(t.Context(), start.Add(time.Second), 10)
	if must(t, err); n != 0 {
		t.Errorf("%d went too early", n)
	}
	n, err = s.Jobs().Prune(t.Context(), start.Add(2*time.Second), 10)
	if must(t, err); n != 1 {
		t.Errorf("%d went, want the one that has ended", n)
	}
	_, err = s.Jobs().Job(t.Context(), evil, want[1].ID)
	is(t, err, fault.NotFound, "job_not_found")
}

func aJobHasOneHolder(t *testing.T, s ports.Storage) {
	acme := employer(t, s, "acme")
	j := newJob(acme, start)
	must(t, s.Jobs().Create(t.Context(), acme, j))
	var (
		all  sync.WaitGroup
		have atomic.Int32
	)
	for i := range 16 {
		all.Go(func() {
			err := s.Jobs().Update(t.Context(), acme, j.ID, func(j *job.Job) error { return j.Begin(fmt.Sprint(i), start, start.Add(time.Minute)) })
			switch {
			case err == nil:
				have.Add(1)
			case !fault.Is(err, fault.Conflict):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if have.Load() != 1 {
		t.Errorf("%d servers hold one job", have.Load())
	}
}
