package upkeep

import (
	"bytes"
	"context"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/job"
	"agentapi/domain/tenancy"
)

// How jobs are done.
const (
	jobEvery = 2 * time.Second // how soon one is seen that another server was asked for, or has left
	jobLease = 30 * time.Second
	jobTell  = 5 * time.Second // how often it is told how far a job is
	jobsSeen = 20              // looked for at once
	keepJobs = 30 * 24 * time.Hour
)

// Wake has Work look for jobs now.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Work does jobs, one after the other, until ctx ends; one that is not done by then is
// another server's. The observer is told what could not be done.
func (s *Service) Work(ctx context.Context) {
	tick := time.NewTicker(jobEvery)
	defer tick.Stop()
	failing := false
	for {
		err := s.work(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			s.Observer.Lost(ctx, "the state of a job", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// Pseudonym is one that nobody has.
func (s *Service) Pseudonym() tenancy.UserID { return s.NewUser() }

func (s *Service) work(ctx context.Context) error {
	free, err := s.Storage.Jobs().Free(ctx, s.Now(), jobsSeen)
	if err != nil {
		return err
	}
	for _, r := range free {
		if err := s.begin(ctx, r); err != nil && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return nil
}

// begin does a job, unless another server does.
func (s *Service) begin(ctx context.Context, r job.Ref) error {
	in := tenancy.RealmOf(r.Org)
	var j job.Job
	err := s.Storage.Jobs().Update(ctx, in, r.ID, func(now *job.Job) error {
		err := now.Begin(s.Instance, s.Now(), s.Now().Add(jobLease))
		j = *now
		return err
	})
	if err != nil || j.State != job.Running {
		return err
	}
	told := s.Now()
	rows, failed := s.do(ctx, in, &j, func(rows int) error {
		if s.Now().Sub(told) < jobTell {
			return nil
		}
		told = s.Now()
		return s.Storage.Jobs().Update(ctx, in, r.ID, func(now *job.Job) error { return now.Go(s.Instance, rows, told, told.Add(jobLease)) })
	})
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), jobEvery)
	defer cancel()
	return s.Storage.Jobs().Update(last, in, r.ID, func(now *job.Job) error {
		if failed != nil && (ctx.Err() != nil || fault.Is(failed, fault.Unavailable)) { // another try may do it
			if ctx.Err() == nil {
				return now.Go(s.Instance, rows, s.Now(), s.Now().Add(jobLease))
			}
			return now.Release(s.Instance, rows, s.Now())
		}
		return now.End(s.Instance, rows, failed, s.Now())
	})
}

// do does what a job is about. It may be done again from the start.
func (s *Service) do(ctx context.Context, in tenancy.Realm, j *job.Job, tell func(rows int) error) (int, error) {
	switch j.Kind {
	case job.EraseUser:
		rows, err := s.erase(ctx, in.Of(j.User), j.Other, tell)
		s.Erased(ctx)
		return rows, err
	case job.EraseOrg:
		rows, err := s.dissolve(ctx, in, tell)
		s.Erased(ctx)
		return rows, err
	case job.ExportUser: // what is taken along is made when it is fetched, and complete then
		rows := 0
		_, err := s.export(ctx, in.Of(j.User), pieces(func(p []byte) bool {
			rows += bytes.Count(p, []byte("\n"))
			return tell(rows) == nil
		}))
		return rows, err
	default:
		return 0, fault.Internalf("a job of kind %s", j.Kind)
	}
}
