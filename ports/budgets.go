package ports

import (
	"context"
	"time"

	"agentapi/domain/budget"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Budgets keeps what may be spent, what was, and what is set aside for requests that
// run. What is spent of a budget is what the usage records of its period cost that were
// ever booked of those whom it bounds: Usage.Record charges it in the same step, once
// for each record. A budget outside the realm is fault.NotFound with code
// budget_not_found.
type Budgets interface {
	// Create stores a new budget, in version 1, which has spent what is booked since its
	// period began before Created. fault.Conflict with code budget_exists: there is one
	// of the same one for the period.
	Create(ctx context.Context, in tenancy.Realm, b *budget.Budget) error
	// Budget returns a budget as it stands at a moment.
	Budget(ctx context.Context, in tenancy.Realm, id budget.ID, at time.Time) (*budget.State, error)
	// List returns a page of the organisation's budgets, by id, as they stand at a moment.
	List(ctx context.Context, in tenancy.Realm, at time.Time, q page.Query) (page.Of[*budget.State], error)
	// Bounding returns the budgets that bound what the scope's user spends with a key
	// (zero: with none), by id, as they stand at a moment.
	Bounding(ctx context.Context, in tenancy.Scope, key tenancy.KeyID, at time.Time) ([]budget.State, error)
	// Any tells whether the organisation has a budget.
	Any(ctx context.Context, in tenancy.Realm) (bool, error)
	// Update stores what change makes of a budget's limit, as Sessions.Update does; what
	// else it changes stays as it is, but for Updated.
	Update(ctx context.Context, in tenancy.Realm, id budget.ID, change func(*budget.Budget) error) error
	// Delete removes the budget, and what it has spent.
	Delete(ctx context.Context, in tenancy.Realm, id budget.ID) error
	// Reserve sets money aside until r.Expires. fault.QuotaExhausted: one of the budgets
	// that bound the scope's user and r.Key would have spent and reserved more than its
	// limit at r.At; then nothing is set aside. Of concurrent reservations, whichever
	// server makes them, no more succeed than there is room for. Within a transaction the
	// fault may come when it is committed.
	Reserve(ctx context.Context, in tenancy.Scope, r budget.Reservation) error
	// Release gives back what was set aside; it does nothing where that is not there.
	Release(ctx context.Context, in tenancy.Scope, id budget.ReservationID) error
	// Prune forgets at most most reservations, in all organisations, that expired before
	// the moment, and tells how many. They count for nothing already.
	Prune(ctx context.Context, before time.Time, most int) (int, error)
}
