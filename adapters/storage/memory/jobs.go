package memory

import (
	"bytes"
	"context"
	"slices"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/job"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

type jobs struct{ directory }

// working is a job as a database would give it back.
func working(j *job.Job, version int) *job.Job {
	c := *j
	c.Version = version
	for _, t := range []*time.Time{&c.Created, &c.Updated, &c.Finished, &c.Until} {
		if !t.IsZero() {
			*t = session.Moment(*t)
		}
	}
	return &c
}

// Create stores a new job.
func (d jobs) Create(ctx context.Context, in tenancy.Realm, j *job.Job) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	switch {
	case j.Org != in.Org():
		return forbidden()
	case d.s.jobs[j.ID] != nil:
		return fault.New(fault.Conflict, "There is a job with this id already.")
	}
	put(d.s, d.s.jobs, j.ID, working(j, 1))
	return nil
}

// Job returns a job of the organisation.
func (d jobs) Job(ctx context.Context, in tenancy.Realm, id job.ID) (*job.Job, error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if j := d.s.jobs[id]; j != nil && j.Org == in.Org() {
		return copied(j), nil
	}
	return nil, job.None()
}

// List returns a page of the organisation's jobs.
func (d jobs) List(ctx context.Context, in tenancy.Realm, q page.Query) (page.Of[*job.Job], error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return page.Of[*job.Job]{}, err
	}
	defer leave()
	all := chosen(d.s.jobs, func(j *job.Job) bool { return j.Org == in.Org() })
	return paged(all, func(j *job.Job) job.ID { return j.ID }, job.ParseID, q, copied)
}

// Update stores what change makes of a job.
func (d jobs) Update(ctx context.Context, in tenancy.Realm, id job.ID, change func(*job.Job) error) error {
	leave, err := d.managing(ctx, in)
	if err != nil {
		return err
	}
	defer leave()
	old := d.s.jobs[id]
	if old == nil || old.Org != in.Org() {
		return job.None()
	}
	j := copied(old)
	if err := change(j); err != nil {
		return err
	}
	j.ID, j.Kind, j.Org, j.By, j.Other, j.Created = old.ID, old.Kind, old.Org, old.By, old.Other, old.Created
	put(d.s, d.s.jobs, id, working(j, old.Version+1))
	return nil
}

// Free returns jobs that a server may begin.
func (d jobs) Free(ctx context.Context, at time.Time, most int) (out []job.Ref, err error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for _, j := range d.s.jobs {
		if j.Free(session.Moment(at)) {
			out = append(out, job.Ref{Org: j.Org, ID: j.ID})
		}
	}
	slices.SortFunc(out, func(a, b job.Ref) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out[:min(most, len(out))], nil
}

// Prune removes jobs that ended long ago.
func (d jobs) Prune(ctx context.Context, before time.Time, most int) (n int, err error) {
	leave, err := d.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	for id, j := range d.s.jobs {
		if n < most && j.State.Ended() && j.Finished.Before(session.Moment(before)) {
			put(d.s, d.s.jobs, id, nil)
			n++
		}
	}
	return n, nil
}

// disown has jobs be about pseudonyms of their own, and asked for by the pseudonym; but
// one that is not done needs to know whom it is about.
func (s *Store) disown(who owner, pseudonym tenancy.UserID) (n int) {
	for _, j := range s.jobs {
		if j.Org != who.org {
			continue
		}
		if j.User == who.user && j.State.Ended() {
			j.User = j.Other
			n++
		}
		if j.By == who.user {
			j.By = pseudonym
			n++
		}
	}
	return n
}
