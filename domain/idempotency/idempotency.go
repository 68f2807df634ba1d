// Package idempotency makes a repeated request harmless: the first one with a
// key runs, all others get its result.
package idempotency

import (
	"crypto/sha256"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// How long things last.
const (
	MaxKey = 255            // characters of a key
	Keep   = 24 * time.Hour // how long a result is replayed
)

// Passed is the code of the fault that says that a claim has passed to another
// request.
const Passed = "idempotency_key_passed"

// Key is the SHA-256 of route and client key: the key itself is not kept.
type Key [32]byte

// NewKey makes the stored form of a client's key for a route.
func NewKey(route, key string) Key { return sha256.Sum256([]byte(route + "\x00" + key)) }

// ValidKey checks a client's key: 1 to MaxKey visible ASCII characters.
func ValidKey(s string) error {
	for _, r := range []byte(s) {
		if r < ' ' || r > '~' {
			return fault.Invalidf("Idempotency-Key", "invalid_idempotency_key", "Idempotency-Key may hold visible ASCII characters only.")
		}
	}
	if s == "" || len(s) > MaxKey {
		return fault.Invalidf("Idempotency-Key", "invalid_idempotency_key", "Idempotency-Key must have 1 to %d characters.", MaxKey)
	}
	return nil
}

// Claim asks for a key.
type Claim struct {
	Key   Key
	Body  [32]byte  // SHA-256 of the request body
	Owner string    // the server instance that runs the request
	At    time.Time // now
	Until time.Time // when the claim lapses should its owner die
}

// Entry is what is stored under a key.
type Entry struct {
	Claim
	Done   bool
	Result Result
}

// Result is what a finished request left, enough to give the same answer again.
type Result struct {
	ID        string    // of the completion
	Created   time.Time // of the completion
	Model     string    // as asked for
	Agent     string
	AgentID   string // the agent's model
	Attempts  int
	Route     string
	Session   string
	How       string // new, resumed or forked
	Ignored   []string
	Events    []chat.Event // the whole answer, in order; Native is owned
	Failure   *fault.Error // a deterministic refusal, instead of events
	Completed time.Time
}

// Outcome is what a claim met.
type Outcome struct {
	Claimed bool    // the key is ours: run the request, then Complete or Release
	Replay  *Result // the request is done: give this again
}

// Meet decides what becomes of claim where entry is stored under its key; nil
// means nothing is. A key that is used for another body is fault.KeyReuse, one
// that is running is fault.Conflict.
func Meet(entry *Entry, claim Claim) (Outcome, error) {
	switch {
	case entry == nil, entry.Done && claim.At.Sub(entry.Result.Completed) >= Keep:
		return Outcome{Claimed: true}, nil
	case entry.Body != claim.Body:
		return Outcome{}, fault.New(fault.KeyReuse, "This Idempotency-Key was used with another request body. Use a new key for a new request.").WithCode("idempotency_key_reuse")
	case entry.Done:
		return Outcome{Replay: &entry.Result}, nil
	case !claim.At.Before(entry.Until):
		return Outcome{Claimed: true}, nil
	default:
		return Outcome{}, fault.New(fault.Conflict, "A request with this Idempotency-Key is still running. Retry when it has ended.").
			WithCode("idempotency_in_progress").WithRetryAfter(time.Second)
	}
}
