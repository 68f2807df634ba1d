package admin

import (
	"context"
	"strconv"

	"agentapi/domain/audit"
	"agentapi/domain/budget"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/price"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// NewBudget asks for a budget: a user's, a key's, or the organisation's where neither
// is set.
type NewBudget struct {
	User   tenancy.UserID
	Key    tenancy.KeyID
	Period budget.Period
	Limit  price.Micro
}

// Budgets lists an organisation's budgets as they stand.
func (s *Service) Budgets(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, q page.Query) (page.Of[*budget.State], error) {
	in, err := who.Realm(org, tenancy.ReadUsage)
	if err != nil {
		return page.Of[*budget.State]{}, err
	}
	return paged(q, func(q page.Query) (page.Of[*budget.State], error) {
		return s.Storage.Budgets().List(ctx, in, s.Now(), q)
	})
}

// Budget gives a budget as it stands.
func (s *Service) Budget(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id budget.ID) (*budget.State, error) {
	in, err := who.Realm(org, tenancy.ReadUsage)
	if err != nil {
		return nil, err
	}
	return s.Storage.Budgets().Budget(ctx, in, id, s.Now())
}

// CreateBudget bounds what is spent from now on, and what was since its period began.
// fault.NotFound: the organisation has no such member or key.
func (s *Service) CreateBudget(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, n NewBudget, o Once) (*budget.State, error) {
	in, err := who.Realm(org, tenancy.WriteBudgets)
	if err != nil {
		return nil, err
	}
	at := s.Now()
	var random [10]byte
	s.Random(random[:])
	b := &budget.Budget{ID: budget.NewID(at, random), Org: in.Org(), User: n.User, Key: n.Key, Period: n.Period, Limit: n.Limit, Version: 1, Created: at, Updated: at}
	if err := b.Check(); err != nil {
		return nil, err
	}
	details := map[string]string{"period": string(b.Period), "limit_micro": strconv.FormatInt(int64(b.Limit), 10)}
	if !b.User.IsZero() {
		if _, err := s.Storage.Directory().Member(ctx, in, b.User); err != nil {
			return nil, err
		}
	}
	if !b.Key.IsZero() {
		details["api_key"] = b.Key.String()
		if _, err := s.Storage.Directory().Key(ctx, in, b.Key); err != nil {
			return nil, err
		}
	}
	told := note(who, audit.BudgetCreated, b.ID.String(), details)
	if !b.User.IsZero() {
		told = on(who, audit.BudgetCreated, in, b.User, details)
		told.Target = b.ID.String()
	}
	made, err := s.once(ctx, who, within(in.Org(), told), o, func(ctx context.Context, tx ports.Repositories) (string, error) {
		return b.ID.String(), tx.Budgets().Create(ctx, in, b)
	})
	s.spent(ctx)
	if err != nil {
		return nil, err
	}
	id := b.ID
	if made != "" {
		if id, err = budget.ParseID(made); err != nil {
			return nil, fault.Internalf("a stored idempotency result names no budget: %w", err)
		}
	}
	return s.Storage.Budgets().Budget(ctx, in, id, at)
}

// EditBudget changes a budget's limit.
func (s *Service) EditBudget(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id budget.ID, versions []int, limit *price.Micro) (*budget.State, error) {
	in, err := who.Realm(org, tenancy.WriteBudgets)
	if err != nil {
		return nil, err
	}
	details := map[string]string{}
	if limit != nil {
		if err := budget.CheckLimit(*limit); err != nil {
			return nil, err
		}
		details["limit_micro"] = strconv.FormatInt(int64(*limit), 10)
	}
	err = s.transact(ctx, within(in.Org(), note(who, audit.BudgetChanged, id.String(), details)), func(ctx context.Context, tx ports.Repositories) error {
		return tx.Budgets().Update(ctx, in, id, func(b *budget.Budget) error {
			if err := expect(versions, b.Version); err != nil {
				return err
			}
			if limit != nil {
				b.Limit = *limit
			}
			b.Updated = s.Now()
			return nil
		})
	})
	s.spent(ctx)
	if err != nil {
		return nil, err
	}
	return s.Storage.Budgets().Budget(ctx, in, id, s.Now())
}

// RemoveBudget has a budget bound nobody any more.
func (s *Service) RemoveBudget(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, id budget.ID, versions []int) error {
	in, err := who.Realm(org, tenancy.WriteBudgets)
	if err != nil {
		return err
	}
	err = s.transact(ctx, within(in.Org(), note(who, audit.BudgetRemoved, id.String(), nil)), func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Budgets().Update(ctx, in, id, func(b *budget.Budget) error { return expect(versions, b.Version) }); err != nil {
			return err
		}
		return tx.Budgets().Delete(ctx, in, id)
	})
	s.spent(ctx)
	return err
}

// spent has budgets looked up anew, whatever became of a change.
func (s *Service) spent(ctx context.Context) {
	if s.Params.Budgets != nil {
		s.Params.Budgets.Forget(ctx)
	}
}
