package agent

import (
	"errors"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Cause is an error that faults of agents are told apart by.
type Cause string

// The causes.
const (
	ErrLeftAlone Cause = "its breaker is open" // the agent was not asked
	ErrUnreached Cause = "it was not reached"  // it has not seen the request: to ask it again does nothing twice
)

// Error is the cause in words.
func (c Cause) Error() string { return string(c) }

// Unasked tells whether an agent failed without anything having been asked of what is
// behind it.
func Unasked(err error) bool {
	f := fault.As(err)
	return errors.Is(err, ErrLeftAlone) || f != nil && f.Code == "agent_overloaded"
}

// Verdict is what became of a candidate before any was asked.
type Verdict string

// The verdicts.
const (
	Eligible   Verdict = "eligible"    // it may be asked, in its turn
	Unwell     Verdict = "unhealthy"   // it is asked after all that are well
	Disabled   Verdict = "disabled"    // an administrator has taken its agent out of service
	Drained    Verdict = "drained"     // it finishes what it has begun
	NotAllowed Verdict = "not_allowed" // the caller's API key or organisation is not for it
	Incapable  Verdict = "incapable"   // it cannot honour the request
)

// Considered is a candidate and what became of it.
type Considered struct {
	Candidate
	Verdict Verdict
	Why     string // of one that cannot honour the request: what it cannot
}

// Attempt is that a candidate was asked.
type Attempt struct {
	Candidate
	Began  time.Time
	Took   time.Duration // until it had answered or failed; so far, while it runs
	Hedge  bool          // it was asked beside the one before, which took long
	Result Result
	Kind   string // the class of its failure, and the code for programs
	Code   string
	Waited time.Duration // before it, since the same agent was asked again
}

// Result is how an attempt ended.
type Result string

// The results.
const (
	Asking    Result = "running"
	Answering Result = "answering" // a stream that has begun
	Answered  Result = "answered"
	Failed    Result = "failed"
	LeftAlone Result = "breaker_open" // it was not asked
	Busy      Result = "busy"         // it was not asked: as many run as may
	Outrun    Result = "outrun"       // another was there first, and it was ended
)

// Decision is why a request went where it went. It has nothing of what was said.
type Decision struct {
	Request    string
	Org        tenancy.OrgID
	User       tenancy.UserID
	Instance   string // the server process that it ran on
	At         time.Time
	Model      string // as asked for
	Via        string // as in Route; empty: nobody answers to the name
	Strategy   Strategy
	Bond       Bond   // what binds the request to a candidate; empty: nothing
	Reason     string // how the first was chosen, in a sentence
	Candidates []Considered
	Attempts   []Attempt
	Stopped    string // why no other was asked, where one could have been
	Ended      bool
	Kind, Code string // of the request's failure; empty: it has none
	Took       time.Duration
	// Recalled is what is stored of how the request ended, where nobody remembers the
	// decision any more; then little else is known. nil: it is remembered.
	Recalled *Recalled
}

// Recalled is who answered a request, or was asked last, and how many had been asked by
// then.
type Recalled struct {
	Candidate
	Attempts int
	At       time.Time
}
