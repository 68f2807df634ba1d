package bunstore

import (
	"context"
	"time"

	"agentapi/domain/budget"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Budgets keeps what may be spent.
func (o *Outer) Budgets() ports.Budgets { return outerBudgets{o} }

type outerBudgets struct{ o *Outer }

func (b outerBudgets) Create(ctx context.Context, in tenancy.Realm, v *budget.Budget) error {
	return b.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return tx.Budgets().Create(ctx, in, v) })
}

func (b outerBudgets) Budget(ctx context.Context, in tenancy.Realm, id budget.ID, at time.Time) (*budget.State, error) {
	return read(ctx, b.o, func(ctx context.Context, r *Repositories) (*budget.State, error) {
		return r.Budgets().Budget(ctx, in, id, at)
	})
}

func (b outerBudgets) List(ctx context.Context, in tenancy.Realm, at time.Time, q page.Query) (page.Of[*budget.State], error) {
	return read(ctx, b.o, func(ctx context.Context, r *Repositories) (page.Of[*budget.State], error) {
		return r.Budgets().List(ctx, in, at, q)
	})
}

func (b outerBudgets) Bounding(ctx context.Context, in tenancy.Scope, key tenancy.KeyID, at time.Time) ([]budget.State, error) {
	return read(ctx, b.o, func(ctx context.Context, r *Repositories) ([]budget.State, error) {
		return r.Budgets().Bounding(ctx, in, key, at)
	})
}

func (b outerBudgets) Any(ctx context.Context, in tenancy.Realm) (bool, error) {
	return read(ctx, b.o, func(ctx context.Context, r *Repositories) (bool, error) { return r.Budgets().Any(ctx, in) })
}

func (b outerBudgets) Update(ctx context.Context, in tenancy.Realm, id budget.ID, change func(*budget.Budget) error) error {
	return b.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error {
		return tx.Budgets().Update(ctx, in, id, change)
	})
}

func (b outerBudgets) Delete(ctx context.Context, in tenancy.Realm, id budget.ID) error {
	return b.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return tx.Budgets().Delete(ctx, in, id) })
}

func (b outerBudgets) Reserve(ctx context.Context, in tenancy.Scope, v budget.Reservation) error {
	return b.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return tx.Budgets().Reserve(ctx, in, v) })
}

func (b outerBudgets) Release(ctx context.Context, in tenancy.Scope, id budget.ReservationID) error {
	return b.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) error { return tx.Budgets().Release(ctx, in, id) })
}

func (b outerBudgets) Prune(ctx context.Context, before time.Time, most int) (n int, err error) {
	err = b.o.Writes(ctx, func(ctx context.Context, tx ports.Repositories) (err error) {
		n, err = tx.Budgets().Prune(ctx, before, most)
		return err
	})
	return n, err
}
