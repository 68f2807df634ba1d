package agent

import (
	"time"

	"agentapi/domain/id"
)

type changeKind struct{}

func (changeKind) Prefix() string { return "health" }

// ChangeID identifies a change of an agent's state.
type ChangeID = id.ID[changeKind]

// NewChangeID makes a change's id for the moment at.
func NewChangeID(at time.Time, rand [10]byte) ChangeID { return id.New[changeKind](at, rand) }

// ParseChangeID reads a change's id in either spelling.
func ParseChangeID(s string) (ChangeID, error) { return id.Parse[changeKind](s) }

// Change is that an agent's state became another, as one server saw it. It is written
// once.
type Change struct {
	ID       ChangeID
	Agent    Name
	Instance string // the server process
	At       time.Time
	State    State
	Was      State
	Reason   string        // why it is not healthy
	Lasted   time.Duration // how long it was as before; 0: that is not known
	Tally    Tally         // what was observed in that time, and what ended it
}

// Became gives what changed between two observations; ok is false where the state did
// not.
func (h Health) Became(next Health) (c Change, ok bool) {
	was := h.State
	if was == "" {
		was = Unknown
	}
	if next.State == was {
		return c, false
	}
	c = Change{At: next.Since, State: next.State, Was: was, Reason: next.Reason, Tally: next.before}
	if !h.Since.IsZero() {
		c.Lasted = next.Since.Sub(h.Since)
	}
	return c, true
}

// Breaker is the state of the breaker of one of an agent's models: one that is open
// keeps requests from it.
type Breaker struct {
	Model string // empty: of all models together that have none of their own
	State BreakerState
	Left  time.Duration // until a request tries; 0: one may now
}

// BreakerState is how a breaker stands. A half-open one lets one request try.
type BreakerState string

// The states of breakers.
const (
	Closed   BreakerState = "closed"
	Open     BreakerState = "open"
	HalfOpen BreakerState = "half_open"
)
