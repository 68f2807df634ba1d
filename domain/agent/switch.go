package agent

import (
	"slices"
	"time"

	"agentapi/domain/fault"
)

// Switch is whether administrators let an agent work, whatever the configuration
// says.
type Switch struct {
	Agent   Name
	Off     bool
	Drained bool      // it finishes what it has begun, and begins nothing until it is resumed
	Reset   time.Time // when its breakers were closed and its health forgotten; zero: never
	Version int       // counts changes, from 1 on
	Changed time.Time // zero: never
}

// On is the switch of an agent that nobody has touched.
func On(n Name) Switch { return Switch{Agent: n, Version: 1} }

// Expect refuses a switch whose version is none of those that the caller knows; nil
// knows all. fault.Precondition.
func (s *Switch) Expect(versions []int) error {
	if versions == nil || slices.Contains(versions, s.Version) {
		return nil
	}
	return fault.New(fault.Precondition, "The agent has changed: its version is %d.", s.Version).
		WithHint("Read it again, and send its ETag in If-Match.")
}

// NoAgent is the fault of an agent that is not there.
func NoAgent() error { return fault.NotFoundf("agent_not_found", "There is no such agent.") }
