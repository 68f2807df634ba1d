// Package usage is the account of what was consumed.
package usage

import (
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/id"
	"agentapi/domain/price"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

type recordKind struct{}

func (recordKind) Prefix() string { return "usage" }

// ID identifies a record.
type ID = id.ID[recordKind]

// NewID makes a record's id for the moment at.
func NewID(at time.Time, rand [10]byte) ID { return id.New[recordKind](at, rand) }

// ParseID reads a record's id in either spelling.
func ParseID(s string) (ID, error) { return id.Parse[recordKind](s) }

// Outcome is how the booked call ended.
type Outcome string

// The outcomes.
const (
	Completed Outcome = "completed"
	Failed    Outcome = "failed"   // the agent failed after its answer had begun
	Canceled  Outcome = "canceled" // the client left, or an administrator ended it
)

// Record is what one request consumed. It is written once.
type Record struct {
	ID      ID
	Request string
	Session session.ID
	Key     tenancy.KeyID // that the caller came with; zero: none
	Agent   agent.Name
	Model   string
	Tokens  chat.Usage
	Cost    price.Micro // at the prices of its time
	Outcome Outcome
	At      time.Time
}

// Totals sums records.
type Totals struct {
	Requests         int64
	PromptTokens     int64
	CompletionTokens int64
}
