package ports

import (
	"context"
	"io"

	"agentapi/domain/audit"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Audit writes the log, which only grows. Who is meant by a pseudonym, and what by
// a commitment, stands apart from the log and can be removed.
type Audit interface {
	// Append puts the entries behind the log's head, in order, when the transaction
	// is committed: with all else that it did, or not at all. The head is one for all
	// servers, however many append at once. It stores the entries' personal values,
	// where their subject is stored. fault.Unavailable with code audit_unavailable:
	// they could not be sealed, and nothing of the transaction is stored.
	Append(ctx context.Context, entries ...audit.Entry) error
	// Subject returns the pseudonym of the scope's user; it is fresh's from now on
	// where there was none.
	Subject(ctx context.Context, in tenancy.Scope, fresh audit.Subject) (audit.Subject, error)
	// Known returns those of the realm's pseudonyms that are one of these users' or one
	// of these, in no order.
	Known(ctx context.Context, in tenancy.Realm, users []tenancy.UserID, subjects []audit.SubjectID) ([]audit.Known, error)
	// Values returns the personal values of the scope's user, by name and commitment.
	Values(ctx context.Context, in tenancy.Scope) ([]audit.Value, error)
	// Forget removes the pseudonym of the scope's user, its salt and all values, and
	// returns what it was; the zero id: there was none. The log stays as it is.
	Forget(ctx context.Context, in tenancy.Scope) (audit.SubjectID, error)
}

// CheckpointKeeper keeps checkpoints where whoever can change the storage cannot
// change them.
type CheckpointKeeper interface {
	// Keep adds a signed note behind those that are kept.
	Keep(ctx context.Context, note string) error
	// Kept returns those that are kept.
	Kept(ctx context.Context) ([]audit.Checkpoint, error)
}

// Archive keeps exports of what the log no longer has.
type Archive interface {
	// Store keeps what write writes under a name of its own, durably: all of it, or
	// nothing under that name. What is there under it already is replaced.
	Store(ctx context.Context, name string, write func(to io.Writer) error) error
	// Open gives what is kept under a name. fault.NotFound.
	Open(ctx context.Context, name string) (io.ReadSeekCloser, error)
}

// Trail reads the log as whoever answers for the deployment, and keeps what was
// signed of it.
type Trail interface {
	// List returns one page of those entries that f chooses, by sequence. The query's
	// After and Before are sequence numbers; fault.Invalid with code invalid_cursor
	// for anything else.
	List(ctx context.Context, f audit.Filter, q page.Query) (page.Of[audit.Sealed], error)
	// Range returns the entries behind a sequence number, at most most of them, as
	// they are stored.
	Range(ctx context.Context, after uint64, most int) ([]audit.Sealed, error)
	// Head returns the last entry's place. What a storage in memory has forgotten
	// lies before First.
	Head(ctx context.Context) (audit.Head, error)
	// Checkpoint stores a checkpoint. It cannot be changed or removed.
	Checkpoint(ctx context.Context, c audit.Checkpoint) error
	// Checkpoints returns those behind a number, in the order in which they were
	// stored, at most most of them.
	Checkpoints(ctx context.Context, after uint64, most int) ([]audit.Checkpoint, error)
	// LastCheckpoint returns the one that was stored last; the zero Checkpoint: none.
	LastCheckpoint(ctx context.Context) (audit.Checkpoint, error)
	// Retire removes the entries through r.Last, as the entry with the number recorded
	// says, and returns how many went. The log goes on as if they were there, each
	// organisation's own chain too. fault.Conflict: the entry does not say so, or what it
	// says is not so.
	Retire(ctx context.Context, r audit.Retirement, recorded uint64) (int, error)
	// Retired returns the number of the entry that recorded the last retirement; 0:
	// there was none.
	Retired(ctx context.Context) (uint64, error)
}
