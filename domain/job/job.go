// Package job is work that takes longer than a request: it is asked for, done in the
// background by one server at a time, and can be looked at meanwhile.
package job

import (
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/tenancy"
)

type jobKind struct{}

func (jobKind) Prefix() string { return "job" }

// ID identifies a job.
type ID = id.ID[jobKind]

// NewID makes a job's id for the moment at.
func NewID(at time.Time, rand [10]byte) ID { return id.New[jobKind](at, rand) }

// ParseID reads a job's id in either spelling.
func ParseID(s string) (ID, error) { return id.Parse[jobKind](s) }

// Kind is what a job does.
type Kind string

// The kinds.
const (
	ExportUser Kind = "user.export" // makes what is stored of a user ready to be taken along
	EraseUser  Kind = "user.erase"  // removes all that is stored of a user
	EraseOrg   Kind = "org.erase"   // removes all that is stored of an organisation
)

// State is how far a job is.
type State string

// The states.
const (
	Queued    State = "queued"
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
)

// Ended tells whether nothing more will be done.
func (s State) Ended() bool { return s == Succeeded || s == Failed }

// Keep is how long the result of a job can be had.
const Keep = 24 * time.Hour

// tries is how often a job is begun before it has failed.
const tries = 5

// Job is one. It holds nothing personal.
type Job struct {
	ID    ID
	Kind  Kind
	Org   tenancy.OrgID
	User  tenancy.UserID // whom it is about; Other, once they are erased, by whatever job; of an organisation's erasure, too
	By    tenancy.UserID // who asked
	Other tenancy.UserID // the pseudonym that an erased user's usage goes to: the same however often it is begun

	State   State
	Rows    int    // that were dealt with so far
	Code    string // of why it failed
	Message string
	Tries   int // how often it was begun

	Holder string    // the server that is at it
	Until  time.Time // when it is anybody's again, unless the holder goes on

	Version                    int
	Created, Updated, Finished time.Time
}

// Ref names a job of whatever organisation.
type Ref struct {
	Org tenancy.OrgID
	ID  ID
}

// Free tells whether a server may begin the job.
func (j *Job) Free(at time.Time) bool {
	return j.State == Queued || j.State == Running && !at.Before(j.Until)
}

// Begin has a server do the job, until a moment. fault.Conflict: another one is at
// it, or it has ended. A job that was begun too often fails instead, and the State
// says so.
func (j *Job) Begin(holder string, at, until time.Time) error {
	if !j.Free(at) {
		return fault.New(fault.Conflict, "Another server is at this job, or it has ended.").WithCode("job_taken")
	}
	if j.Tries >= tries {
		j.fail(fault.New(fault.Internal, "It was begun %d times, and its server ended each time.", j.Tries).WithCode("job_abandoned"), at)
		return nil
	}
	j.State, j.Holder, j.Until, j.Updated = Running, holder, until, at
	j.Tries++
	return nil
}

// Go notes that the holder has dealt with so many rows in all, and is at it until a
// moment. fault.Conflict: it is another's by now.
func (j *Job) Go(holder string, rows int, at, until time.Time) error {
	if j.State != Running || j.Holder != holder {
		return fault.New(fault.Conflict, "Another server is at this job.").WithCode("job_taken")
	}
	j.Rows, j.Until, j.Updated = rows, until, at
	return nil
}

// Release gives the job back to whoever comes, since the holder stops; that it was
// begun does not count.
func (j *Job) Release(holder string, rows int, at time.Time) error {
	err := j.Go(holder, rows, at, at)
	if err == nil {
		j.State, j.Holder = Queued, ""
		j.Tries--
	}
	return err
}

// End notes how the job ended: err is nil where it is done.
func (j *Job) End(holder string, rows int, err error, at time.Time) error {
	if err := j.Go(holder, rows, at, at); err != nil {
		return err
	}
	if err != nil {
		j.fail(err, at)
		return nil
	}
	j.State, j.Holder, j.Finished = Succeeded, "", at
	if j.Kind == EraseUser {
		j.User = j.Other // whom it was about nobody knows any more
	}
	return nil
}

func (j *Job) fail(err error, at time.Time) {
	j.State, j.Holder, j.Updated, j.Finished = Failed, "", at, at
	j.Code, j.Message = "internal_error", "The server has made a mistake."
	if f := fault.As(err); f != nil && f.Kind != fault.Internal || f != nil && f.Code != "" {
		j.Code, j.Message = f.Code, f.Message
	}
}

// Result tells whether what a job has made can still be had. fault.Conflict: it is not
// done yet; fault.Gone: it is over.
func (j *Job) Result(at time.Time) error {
	switch {
	case j.Kind != ExportUser || j.State == Failed:
		return fault.NotFoundf("no_result", "The job has no result.")
	case j.State != Succeeded:
		return fault.New(fault.Conflict, "The job is not done yet.").WithCode("job_running").WithRetryAfter(time.Second)
	case j.User == j.Other:
		return fault.New(fault.Gone, "The user was erased meanwhile.").WithCode("result_expired")
	case at.Sub(j.Finished) >= Keep:
		return fault.New(fault.Gone, "The result could be had for %v.", Keep).WithCode("result_expired").WithHint("Ask for another export.")
	}
	return nil
}

// None is the fault of a job that is not there.
func None() error { return fault.NotFoundf("job_not_found", "There is no such job.") }
