package agent

import "time"

// State is how an agent is.
type State string

// The states. An agent is unknown until the first observation.
const (
	Unknown   State = "unknown"
	Healthy   State = "healthy"
	Degraded  State = "degraded"
	Unhealthy State = "unhealthy"
)

// failuresToUnhealthy is how many failures in a row make a healthy agent
// unhealthy; the first makes it degraded. One success heals.
const failuresToUnhealthy = 2

// Health is what was observed of an agent. The zero value is unknown.
type Health struct {
	State  State
	Since  time.Time // when the state was entered
	Seen   time.Time // the last observation
	Reason string    // why it is not healthy, fit to show to an operator
	streak int       // observations in a row that spoke against the state
}

// Observe gives the health after one more observation at the moment at; err is
// nil when the agent could run. Observations that are older than the last are
// ignored.
func (h Health) Observe(at time.Time, err error) Health {
	if at.Before(h.Seen) {
		return h
	}
	h.Seen = at
	if err == nil {
		h.streak, h.Reason = 0, ""
		return h.enter(Healthy, at)
	}
	h.streak++
	h.Reason = err.Error()
	if h.State == "" || h.State == Unknown || h.streak >= failuresToUnhealthy {
		return h.enter(Unhealthy, at)
	}
	if h.State == Healthy {
		return h.enter(Degraded, at)
	}
	return h
}

func (h Health) enter(s State, at time.Time) Health {
	if h.State != s {
		h.State, h.Since = s, at
	}
	return h
}
