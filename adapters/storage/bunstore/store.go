// Package bunstore is the repositories on SQL, shared by all dialects. It knows
// rows and statements; connections and transactions are its owner's.
package bunstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"

	"agentapi/domain/audit"
	"agentapi/domain/budget"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Classify tells the kind of a database's error: Conflict where something is
// taken, QuotaExhausted where a budget has no room, Internal where a statement or a
// stored row is at fault, and otherwise Unavailable.
type Classify func(error) fault.Kind

// Repositories reads and writes through one connection, pool or transaction.
type Repositories struct {
	db   bun.IDB
	kind Classify
	// enter names the tenant to the database before each statement; nil: the
	// database knows none.
	enter func(ctx context.Context, org tenancy.OrgID) error
	locks bool // what is read may be changed, by others too
	// hurry bounds how long the statements that follow wait for another's transaction, 0:
	// as they do else; and missed tells an error that says it was too long. nil: there are
	// no others.
	hurry  func(wait time.Duration)
	missed func(error) bool
	// entries takes what is to be appended to the audit log; nil: nothing is committed.
	entries func(...audit.Entry)
}

var _ ports.Repositories = (*Repositories)(nil)

// On makes repositories that use db.
func On(db bun.IDB, kind Classify) *Repositories { return &Repositories{db: db, kind: kind} }

// Entering makes repositories that use db, and name the tenant by enter before
// they ask for its rows.
func Entering(db bun.IDB, kind Classify, enter func(ctx context.Context, org tenancy.OrgID) error) *Repositories {
	return &Repositories{db: db, kind: kind, enter: enter}
}

// Locking makes repositories in whose transactions a session that was read stays
// as it is until they end, whoever else writes to the database.
func (r *Repositories) Locking() *Repositories {
	c := *r
	c.locks = true
	return &c
}

// Hurrying makes repositories that need not wait for the transactions of others where
// it is as well to say that they are at it.
func (r *Repositories) Hurrying(hurry func(wait time.Duration), missed func(error) bool) *Repositories {
	c := *r
	c.hurry, c.missed = hurry, missed
	return &c
}

func (r *Repositories) hurrying(wait time.Duration) {
	if r.hurry != nil {
		r.hurry(wait)
	}
}

// miss tells an error that says that another's transaction was waited for too long.
func (r *Repositories) miss(err error) bool { return err != nil && r.missed != nil && r.missed(err) }

// within names the scope's tenant to the database.
func (r *Repositories) within(ctx context.Context, in tenancy.Scope) error {
	if r.enter == nil {
		return nil
	}
	return r.failed(ctx, r.enter(ctx, in.Org()))
}

// shared tells whether other instances write to the database at the same time.
func (r *Repositories) shared() bool { return r.db.Dialect().Name() == dialect.PG }

// Sessions is the collection of conversations.
func (r *Repositories) Sessions() ports.Sessions { return sessions{r} }

// Usage is the account of what was consumed.
func (r *Repositories) Usage() ports.Usage { return usages{r} }

// Idempotency is the memory of keyed requests.
func (r *Repositories) Idempotency() ports.Idempotency { return idempotencies{r} }

// Audit is the audit log.
func (r *Repositories) Audit() ports.Audit { return audits{r} }

// Failed turns the error of a connection into a fault.
func Failed(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case fault.As(err) != nil:
		return err
	case ctx.Value(inside{}) != nil: // its end is the storage's own, not the caller's
		return unreachable(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.Wrap(fault.Timeout, err, "The time for the storage was up.")
	case errors.Is(err, context.Canceled), errors.Is(ctx.Err(), context.Canceled):
		return fault.Wrap(fault.Canceled, err, "The request was cancelled.")
	default:
		return unreachable(err)
	}
}

func unreachable(err error) error {
	return fault.Wrap(fault.Unavailable, err, "The storage does not answer.").WithCode("storage_unavailable").WithRetryAfter(time.Second)
}

// failed turns the error of a statement into a fault.
func (r *Repositories) failed(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || fault.As(err) != nil {
		return Failed(ctx, err)
	}
	switch r.kind(err) {
	case fault.Conflict:
		return fault.Wrap(fault.Conflict, err, "There is one like this already.")
	case fault.QuotaExhausted:
		return budget.None().WithCause(err)
	case fault.Internal:
		return fault.Internalf("storage: %w", err)
	default:
		return Failed(ctx, err)
	}
}

func noRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// writing refuses writes without an owner, which no row may lack, and names the
// tenant to the database.
func (r *Repositories) writing(ctx context.Context, in tenancy.Scope) error {
	if in.IsZero() {
		return fault.New(fault.Forbidden, "This belongs to a user, and no user is acting.")
	}
	return r.within(ctx, in)
}
