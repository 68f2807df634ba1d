package budgets

import (
	"context"
	"errors"
	"testing"
	"time"

	"agentapi/domain/price"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// asked is a storage that is asked whether there is a budget, and answers when it may.
type asked struct {
	ports.Storage
	any answer
}

func (a asked) Budgets() ports.Budgets { return a.any }

type answer struct {
	ports.Budgets
	say func() (bool, error)
}

func (a answer) Any(context.Context, tenancy.Realm) (bool, error) { return a.say() }

// Before it is forgotten that an organisation has a budget one request looks anew, and
// the others do not wait for it; once its time is over nobody goes by it.
func TestOneLooksWhetherThereIsABudgetAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	var (
		now    = time.Now()
		looks  int
		away   error
		during func()
	)
	s := New(Params{Prices: &price.List{}, Now: func() time.Time { return now }})
	s.Storage = asked{any: answer{say: func() (bool, error) {
		looks++
		if during != nil {
			during()
		}
		return true, away
	}}}
	org := tenancy.OrgID{1}
	any := func(looked int) {
		t.Helper()
		if is, err := s.Any(t.Context(), org); err != nil || !is {
			t.Errorf("there is none: %v, %v", is, err)
		}
		if looks != looked {
			t.Errorf("it was looked up %d times, not %d", looks, looked)
		}
	}
	any(1)
	now = now.Add(lookAfter - 1)
	any(1)
	now = now.Add(1)
	during = func() { during = nil; any(2) }
	any(2)
	now = now.Add(lookAfter)
	away = errors.New("away")
	any(3) // and goes by what is known
	any(3)
	now = now.Add(knownFor - lookAfter)
	if _, err := s.Any(t.Context(), org); err == nil {
		t.Error("it is known for longer than it holds")
	}
}
