// Package budget bounds what an organisation, a user or an API key may spend.
package budget

import (
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/price"
	"agentapi/domain/tenancy"
)

type (
	budgetKind      struct{}
	reservationKind struct{}

	// ID identifies a budget.
	ID = id.ID[budgetKind]
	// ReservationID identifies a reservation.
	ReservationID = id.ID[reservationKind]
)

func (budgetKind) Prefix() string      { return "budget" }
func (reservationKind) Prefix() string { return "hold" }

// NewID makes a budget's id for the moment at.
func NewID(at time.Time, rand [10]byte) ID { return id.New[budgetKind](at, rand) }

// ParseID reads a budget's id in either spelling.
func ParseID(s string) (ID, error) { return id.Parse[budgetKind](s) }

// NewReservationID makes a reservation's id for the moment at.
func NewReservationID(at time.Time, rand [10]byte) ReservationID {
	return id.New[reservationKind](at, rand)
}

// Period is after which time a budget begins anew, in UTC.
type Period string

// The periods.
const (
	Day   Period = "day"
	Month Period = "month"
	Total Period = "total" // never
)

// ParsePeriod reads a period. fault.Invalid.
func ParsePeriod(s string) (Period, error) {
	switch p := Period(s); p {
	case Day, Month, Total:
		return p, nil
	default:
		return "", fault.Invalidf("period", "invalid_value", "A budget's period is day, month or total.")
	}
}

// Since is when the period began in which at is; of Total the beginning of time as
// computers have it.
func (p Period) Since(at time.Time) time.Time {
	at = at.UTC()
	switch p {
	case Day:
		return time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
	case Month:
		return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
	default:
		return time.Unix(0, 0).UTC()
	}
}

// Until is when the next period begins; zero: never.
func (p Period) Until(at time.Time) time.Time {
	switch since := p.Since(at); p {
	case Day:
		return since.AddDate(0, 0, 1)
	case Month:
		return since.AddDate(0, 1, 0)
	default:
		return time.Time{}
	}
}

// Budget is what may be spent in each period by an organisation, or by the one user or
// API key of it that is set.
type Budget struct {
	ID      ID
	Org     tenancy.OrgID
	User    tenancy.UserID // zero unless it is a user's
	Key     tenancy.KeyID  // zero unless it is a key's
	Period  Period
	Limit   price.Micro
	Version int
	Created time.Time
	Updated time.Time
}

// Check refuses a budget that makes no sense. fault.Invalid.
func (b *Budget) Check() error {
	if !b.User.IsZero() && !b.Key.IsZero() {
		return fault.Invalidf("api_key_id", "invalid_value", "A budget is a user's or an API key's, not both: leave one out, or both for the organisation's.")
	}
	if _, err := ParsePeriod(string(b.Period)); err != nil {
		return err
	}
	return CheckLimit(b.Limit)
}

// CheckLimit refuses a limit that makes no sense. fault.Invalid.
func CheckLimit(m price.Micro) error {
	if m < 0 {
		return fault.Invalidf("limit_micro", "out_of_range", "limit_micro must be 0 or more.")
	}
	return nil
}

// Bounds tells whether the budget is one of those that bound what a user spends with a
// key, which is zero where none is used.
func (b *Budget) Bounds(user tenancy.UserID, key tenancy.KeyID) bool {
	return (b.User.IsZero() || b.User == user) && (b.Key.IsZero() || b.Key == key)
}

// Whose names whom the budget bounds.
func (b *Budget) Whose() string {
	switch {
	case !b.User.IsZero():
		return "the user " + b.User.String()
	case !b.Key.IsZero():
		return "the API key " + b.Key.String()
	default:
		return "the organisation"
	}
}

// Reservation is money that is set aside for one request before it is spent. It stops
// counting at Expires, whatever became of its server.
type Reservation struct {
	ID      ReservationID
	Key     tenancy.KeyID // that the caller came with; zero: none
	Amount  price.Micro
	At      time.Time
	Expires time.Time
}

// State is how a budget stands at a moment.
type State struct {
	Budget
	Spent    price.Micro // in the period
	Reserved price.Micro // for requests that run
}

// Left is what may still be reserved; below zero where more was spent than was foreseen.
func (s *State) Left() price.Micro { return s.Limit.Plus(-s.Spent.Plus(s.Reserved)) }

// Spent is the fault of a request that a budget has no room for.
func Spent(s State, at time.Time) error {
	when := "It does not begin anew."
	if until := s.Period.Until(at); !until.IsZero() {
		when = "It begins anew at " + until.Format(time.RFC3339) + "."
	}
	return None().With(func(e *fault.Error) {
		e.Message = "You exceeded your current quota: the budget " + s.ID.String() + " of " + s.Whose() + " (" + string(s.Period) + ") has no room for this request. " + when
		e.Hint = "Whoever administers the organisation can raise it; a smaller max_tokens takes less of it."
	})
}

// None is Spent where it is not known which budget it is.
func None() *fault.Error {
	return fault.New(fault.QuotaExhausted, "You exceeded your current quota: a budget has no room for this request.").WithCode("insufficient_quota")
}

// Absent is the fault of a budget that is not there, or another organisation's.
func Absent() error { return fault.NotFoundf("budget_not_found", "There is no such budget.") }

// Taken is the fault of a second budget of the same one for the same period.
func Taken() error {
	return fault.New(fault.Conflict, "There is a budget of the same one for this period already.").WithCode("budget_exists").WithHint("Change its limit.")
}
