package ports

import (
	"context"
	"time"

	"agentapi/domain/job"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Jobs keeps what is done in the background. What is not there is fault.NotFound with
// code job_not_found. A zero Realm matches nothing: reads find nothing and writes are
// fault.Forbidden.
type Jobs interface {
	// Create stores a new job, in version 1. fault.Conflict: its id is taken.
	Create(ctx context.Context, in tenancy.Realm, j *job.Job) error
	// Job returns a job of the organisation.
	Job(ctx context.Context, in tenancy.Realm, id job.ID) (*job.Job, error)
	// List returns one page of the organisation's jobs, by id, which is by creation.
	List(ctx context.Context, in tenancy.Realm, q page.Query) (page.Of[*job.Job], error)
	// Update stores what change makes of the current state, in one atomic step; of
	// concurrent changes none is lost. change may run more than once, and its own error
	// is returned as it is. ID, Kind, Org, By, Other and Created stay, and Version
	// becomes one more.
	Update(ctx context.Context, in tenancy.Realm, id job.ID, change func(*job.Job) error) error
	// Free returns at most most jobs, of all organisations, that a server may begin at
	// a moment, the oldest first.
	Free(ctx context.Context, at time.Time, most int) ([]job.Ref, error)
	// Prune removes jobs of all organisations that ended before a moment, at most most,
	// and returns how many.
	Prune(ctx context.Context, before time.Time, most int) (int, error)
}
