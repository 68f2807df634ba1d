package ports

import (
	"context"
	"time"

	"agentapi/domain/census"
	"agentapi/domain/idempotency"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Storage keeps what must outlive the process. Every method may fail with
// fault.Unavailable when it cannot be reached. A zero Scope matches nothing:
// reads find nothing and writes are fault.Forbidden.
type Storage interface {
	Repositories

	// Atomically runs fn in one serializable-enough transaction: all that fn did
	// through tx is kept, durably, if it returns nil; none of it otherwise, and
	// fn's own error is returned as it is. fn may be called again after a
	// conflict and runs on another goroutine where commits are grouped, so it
	// has no effect outside tx but through variables that it sets anew each
	// time, and does not use the outer Storage (which fails with fault.Internal).
	Atomically(ctx context.Context, fn func(ctx context.Context, tx Repositories) error) error

	// Ready reports nil when the storage answers and its schema is the one that
	// this build needs; fault.Unavailable otherwise.
	Ready(ctx context.Context) error

	// Upkeep removes what need not be kept.
	Upkeep() Upkeep
	// Agents keeps what the platform's agents are.
	Agents() Agents
	// Trail reads the audit log and keeps its checkpoints.
	Trail() Trail
	// Census counts what all tenants have, up to most of each, and sums what was
	// consumed in the hour and the day before at. It reads a bounded number of rows
	// and gives nothing but numbers.
	Census(ctx context.Context, at time.Time, most int64) (census.Census, error)
}

// Repositories is the same set of collections inside and outside a transaction.
// Outside, each call is a transaction of its own.
type Repositories interface {
	Sessions() Sessions
	Usage() Usage
	Idempotency() Idempotency
	Directory() Directory
	Jobs() Jobs
	Roster() Roster
	Audit() Audit
	Switches() Switches
	Budgets() Budgets
}

// Sessions keeps conversations and their turns. A session outside the scope is
// fault.NotFound with code session_not_found, exactly like one that never was.
type Sessions interface {
	// Create stores a new session, in version 1, with its first turns, if any, from
	// sequence number 1 on. The turns are the storage's from then on. fault.Conflict: its
	// id, or its key within the user and source, is taken. fault.Forbidden: its org and
	// user are not the scope's.
	Create(ctx context.Context, in tenancy.Scope, s *session.Session, turns ...session.Turn) error
	// Get returns the session.
	Get(ctx context.Context, in tenancy.Scope, id session.ID) (*session.Session, error)
	// ByKey returns the session that has the conversation key.
	ByKey(ctx context.Context, in tenancy.Scope, key session.Key) (*session.Session, error)
	// Update applies change to the current state and stores the result in one
	// atomic step; change may run more than once. Its own error is returned as it
	// is and nothing is stored. ID, Org, User, Created and Turns stay what they are,
	// and Version becomes one more than change saw. fault.Conflict: the new key is taken.
	Update(ctx context.Context, in tenancy.Scope, id session.ID, change func(*session.Session) error) error
	// Append adds turns in order, with sequence numbers from after+1 on and without
	// gaps, and raises the session's Turns and Version. Where the last of them says
	// which agent answered, the session's Agent, Model, Native and Updated become
	// that turn's. The turns are the storage's from then on. fault.Conflict: the last
	// stored turn's sequence number is not after, so somebody else has added turns.
	Append(ctx context.Context, in tenancy.Scope, id session.ID, after int, turns ...session.Turn) error
	// History returns all turns of the session in order.
	History(ctx context.Context, in tenancy.Scope, id session.ID) ([]session.Turn, error)
	// Turns returns one page of the turns, by sequence. The query's After and
	// Before are turn ids; fault.Invalid with code invalid_cursor where there is
	// no such turn in the session.
	Turns(ctx context.Context, in tenancy.Scope, id session.ID, q page.Query) (page.Of[session.Turn], error)
	// List returns one page of those of the scope's sessions that f chooses, by id,
	// which is by creation. After and Before are session ids; a cursor need not exist any more, but one
	// that is no id is fault.Invalid with code invalid_cursor.
	List(ctx context.Context, in tenancy.Scope, f session.Filter, q page.Query) (page.Of[*session.Session], error)
	// Delete removes the session and its turns; a second Delete is fault.NotFound.
	Delete(ctx context.Context, in tenancy.Scope, id session.ID) error
	// Find returns a session of whichever of the realm's users. fault.NotFound.
	Find(ctx context.Context, in tenancy.Realm, id session.ID) (*session.Session, error)
	// ListAll is List over all users of the realm, who may be narrowed down to one by
	// the filter.
	ListAll(ctx context.Context, in tenancy.Realm, f session.Filter, q page.Query) (page.Of[*session.Session], error)
}

// Usage keeps the account of what was consumed.
type Usage interface {
	// Record books records; one whose ID is there already is booked once only.
	Record(ctx context.Context, in tenancy.Scope, records ...usage.Record) error
	// Records returns the user's records that come after the one with this id, which
	// need not exist, by id: at most most of them.
	Records(ctx context.Context, in tenancy.Scope, after usage.ID, most int) ([]usage.Record, error)
	// Report sums what was consumed in an organisation, by q.Normal's query, in the
	// order of usage.Compare. fault.Invalid: it would have more than usage.MaxRows rows.
	Report(ctx context.Context, in tenancy.Realm, q usage.Query) ([]usage.Row, error)
	// ReportAll is Report for the whole deployment, for whoever answers for it.
	ReportAll(ctx context.Context, q usage.Query) ([]usage.Row, error)
	// Totals sums what the scope's user consumed.
	Totals(ctx context.Context, in tenancy.Scope) (usage.Totals, error)
}

// Idempotency remembers the outcome of keyed requests durably, so that it
// survives a crash. Keys of different scopes never meet.
type Idempotency interface {
	// Claim reserves the key, or returns what an earlier request left, as
	// idempotency.Meet decides; of concurrent claims one wins. fault.Conflict: it
	// is running. fault.KeyReuse: it was used with another body. A storage that
	// knows that the owner of a running claim is dead lets it lapse at once.
	Claim(ctx context.Context, in tenancy.Scope, c idempotency.Claim) (idempotency.Outcome, error)
	// Complete stores the result under a key that was claimed. fault.Conflict:
	// the claim has passed to another owner.
	Complete(ctx context.Context, in tenancy.Scope, c idempotency.Claim, r idempotency.Result) error
	// Release gives the key back, so that the request can be made again. It does
	// nothing where the claim is not c's any more.
	Release(ctx context.Context, in tenancy.Scope, c idempotency.Claim) error
	// Prune forgets, in all scopes, what was completed before the moment, and running
	// claims that lapsed before it; it returns how many entries.
	Prune(ctx context.Context, before time.Time) (int, error)
}
