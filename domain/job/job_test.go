package job

import (
	"errors"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func TestAJobIsOneServersAtATime(t *testing.T) {
	t.Parallel()
	j := &Job{State: Queued, Kind: EraseUser}
	if err := j.Begin("a", now, now.Add(time.Minute)); err != nil || j.State != Running || j.Tries != 1 {
		t.Fatalf("%+v, %v", j, err)
	}
	if err := j.Begin("b", now.Add(59*time.Second), now.Add(time.Hour)); !fault.Is(err, fault.Conflict) {
		t.Errorf("another begins it: %v", err)
	}
	if err := j.Go("a", 7, now, now.Add(2*time.Minute)); err != nil || j.Rows != 7 {
		t.Errorf("%+v, %v", j, err)
	}
	if err := j.Begin("b", now.Add(2*time.Minute), now.Add(time.Hour)); err != nil || j.Holder != "b" {
		t.Errorf("whose server has died is not taken over: %v", err)
	}
	for name, err := range map[string]error{"goes on": j.Go("a", 9, now, now), "ends it": j.End("a", 9, nil, now)} {
		if !fault.Is(err, fault.Conflict) || j.Rows != 7 {
			t.Errorf("who lost it %s: %v", name, err)
		}
	}
	j.User, j.Other = tenancy.UserID{1}, tenancy.UserID{2}
	if err := j.End("b", 11, nil, now); err != nil || j.User != j.Other || j.State != Succeeded || j.Finished != now || j.Rows != 11 {
		t.Errorf("%+v, %v", j, err)
	}
	if err := j.Begin("c", now.Add(time.Hour), now.Add(2*time.Hour)); !fault.Is(err, fault.Conflict) {
		t.Errorf("what has ended is begun: %v", err)
	}
}

func TestAServerThatStopsGivesItsJobBack(t *testing.T) {
	t.Parallel()
	j := &Job{State: Queued}
	if err := j.Begin("a", now, now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := j.Release("b", 3, now); !fault.Is(err, fault.Conflict) {
		t.Errorf("another gives it back: %v", err)
	}
	if err := j.Release("a", 3, now); err != nil || !j.Free(now) || j.Tries != 0 || j.Rows != 3 {
		t.Errorf("%+v, %v", j, err)
	}
}

func TestAJobThatKillsItsServersFails(t *testing.T) {
	t.Parallel()
	j := &Job{State: Queued}
	at := now
	for range tries {
		if err := j.Begin("a", at, at.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		at = at.Add(time.Minute)
	}
	if err := j.Begin("a", at, at.Add(time.Minute)); err != nil || j.State != Failed || j.Code != "job_abandoned" {
		t.Errorf("%+v, %v", j, err)
	}
}

func TestWhyAJobFailedIsToldWithoutInternals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code string
	}{
		{fault.New(fault.Unavailable, "The storage does not answer.").WithCode("storage_unavailable"), "storage_unavailable"},
		{fault.Internalf("secret"), "internal_error"}, {errors.New("secret"), "internal_error"},
	} {
		j := &Job{State: Running, Holder: "a"}
		if err := j.End("a", 1, c.err, now); err != nil || j.State != Failed || j.Code != c.code || j.Message == "secret" {
			t.Errorf("%v: %+v, %v", c.err, j, err)
		}
	}
}

func TestAResultCanBeHadForADay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		j    Job
		kind fault.Kind
	}{
		"of an erasure": {Job{Kind: EraseUser, State: Succeeded, Finished: now}, fault.NotFound},
		"too early":     {Job{Kind: ExportUser, State: Running}, fault.Conflict},
		"of a failure":  {Job{Kind: ExportUser, State: Failed}, fault.NotFound},
		"too late":      {Job{Kind: ExportUser, State: Succeeded, User: tenancy.UserID{1}, Finished: now.Add(-Keep)}, fault.Gone},
		"of the erased": {Job{Kind: ExportUser, State: Succeeded, User: tenancy.UserID{1}, Other: tenancy.UserID{1}, Finished: now}, fault.Gone},
	} {
		if err := c.j.Result(now); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (&Job{Kind: ExportUser, State: Succeeded, User: tenancy.UserID{1}, Finished: now.Add(time.Second - Keep)}).Result(now); err != nil {
		t.Error(err)
	}
}
