package ports

import (
	"context"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/chat"
	"agentapi/domain/price"
	"agentapi/domain/quota"
	"agentapi/domain/retention"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Observer is told what happens inside the application. Methods must not block
// and must not keep what they are given. Embed NopObserver to stay compatible
// when methods are added.
type Observer interface {
	// Attempt says that the n-th candidate, from 1, is tried.
	Attempt(ctx context.Context, name agent.Name, model string, n int)
	// AttemptFailed says that a candidate failed before its first event.
	AttemptFailed(ctx context.Context, name agent.Name, err error)
	// FirstEvent says that an answer has begun, after this long.
	FirstEvent(ctx context.Context, name agent.Name, after time.Duration)
	// CompletionEnded closes the account of one completion; err is nil when it finished.
	CompletionEnded(ctx context.Context, end Ended)
	// HealthChanged says that a probe or the traffic changed an agent's state.
	HealthChanged(ctx context.Context, name agent.Name, h agent.Health)
	// Limited says that a limit had no room for a request; whose tells whose limit.
	Limited(ctx context.Context, whose quota.Tier)
	// Unaffordable says that a budget had no room for a request.
	Unaffordable(ctx context.Context)
	// Degraded says that something which the server depends on has gone or is back,
	// once for each.
	Degraded(ctx context.Context, d Degraded)
	// Lost reports work that could not be stored after its request had ended.
	Lost(ctx context.Context, what string, err error)
	// Swept tells what was removed because of its age; err says why not all.
	Swept(ctx context.Context, done Swept, err error)
	// AuditBroken reports that the audit log is not what it was.
	AuditBroken(ctx context.Context, found audit.Finding)
}

// Swept is how much a sweep has removed.
type Swept struct {
	Sessions int // with their messages
	Usage    int // records
	Results  int // of keyed requests
	Health   int // changes of agents' states
}

// Degraded is what the server does without something that it depends on. Dep and Mode
// are names from a closed list.
type Degraded struct {
	Dep   string
	Mode  string
	Why   string // fit for operators only
	Since time.Time
	Over  bool // it is back
}

// Add counts n more of a kind.
func (s *Swept) Add(k retention.Kind, n int) {
	switch k {
	case retention.Sessions:
		s.Sessions += n
	case retention.Usage:
		s.Usage += n
	case retention.AgentHealth:
		s.Health += n
	}
}

// Ended is the end of a completion.
type Ended struct {
	Request  string
	Agent    agent.Name
	Model    string
	Attempts int
	Stream   bool
	Usage    chat.Usage
	Took     time.Duration
	Err      error
	Tried    []Tried // the attempts, in order; the last may have answered
}

// Tried is one candidate's attempt to answer.
type Tried struct {
	Agent agent.Name
	Model string
	Hedge bool // it was asked beside the one before it, which had not failed
	Began time.Time
	Usage chat.Usage // as it is accounted for
	Cost  price.Micro
	First time.Duration // until its first words; 0: there were none
	Took  time.Duration
	Err   error // nil: it has answered, and that was delivered and stored; fault.Canceled where another was faster
}

// Watch is told that a call of something begins, in a word from a closed list, and by
// what it gives back how the call ended. The call goes on with the context. It must not
// block.
type Watch func(ctx context.Context, op string) (context.Context, func(err error))

// NopObserver observes nothing.
type NopObserver struct{}

var _ Observer = NopObserver{}

// Attempt does nothing.
func (NopObserver) Attempt(context.Context, agent.Name, string, int) {}

// AttemptFailed does nothing.
func (NopObserver) AttemptFailed(context.Context, agent.Name, error) {}

// FirstEvent does nothing.
func (NopObserver) FirstEvent(context.Context, agent.Name, time.Duration) {}

// CompletionEnded does nothing.
func (NopObserver) CompletionEnded(context.Context, Ended) {}

// HealthChanged does nothing.
func (NopObserver) HealthChanged(context.Context, agent.Name, agent.Health) {}

// Limited does nothing.
func (NopObserver) Limited(context.Context, quota.Tier) {}

// Unaffordable does nothing.
func (NopObserver) Unaffordable(context.Context) {}

// Degraded does nothing.
func (NopObserver) Degraded(context.Context, Degraded) {}

// Lost does nothing.
func (NopObserver) Lost(context.Context, string, error) {}

// Swept does nothing.
func (NopObserver) Swept(context.Context, Swept, error) {}

// AuditBroken does nothing.
func (NopObserver) AuditBroken(context.Context, audit.Finding) {}
