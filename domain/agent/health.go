package agent

import (
	"time"

	"agentapi/domain/fault"
)

// State is how an agent is.
type State string

// The states. An agent is unknown until the first observation. A degraded one has
// failed lately, and is asked in its turn; an unhealthy one is asked last.
const (
	Unknown   State = "unknown"
	Healthy   State = "healthy"
	Degraded  State = "degraded"
	Unhealthy State = "unhealthy"
)

// Hysteresis is how many observations in a row change a state: the first failure
// makes an agent degraded, Failures make it unhealthy, Successes make it healthy
// again. One that is unknown is healthy by its first success.
type Hysteresis struct {
	Failures  int
	Successes int
}

// Usually is the hysteresis where nothing is configured.
func Usually() Hysteresis { return Hysteresis{Failures: 3, Successes: 2} }

// Observation is what was seen of an agent once.
type Observation struct {
	At  time.Time
	Run bool  // it was asked for an answer; else it was probed
	Err error // why it could not, nil: it could
}

// reason is why it could not. What came from beyond the agent while it ran is left out:
// it may quote what it was asked.
func (o *Observation) reason() string {
	if f := fault.As(o.Err); f != nil && o.Run {
		return f.Message
	}
	return o.Err.Error()
}

// Tally counts observations.
type Tally struct {
	Probes, ProbesFailed int
	Runs, RunsFailed     int
}

func (t *Tally) add(o Observation) {
	all, failed := &t.Probes, &t.ProbesFailed
	if o.Run {
		all, failed = &t.Runs, &t.RunsFailed
	}
	if *all++; o.Err != nil {
		*failed++
	}
}

// Health is what was observed of an agent. The zero value is unknown.
type Health struct {
	State  State
	Since  time.Time // when the state was entered
	Seen   time.Time // the last observation
	Reason string    // why it is not healthy, fit to show to an operator
	Tally  Tally     // what was observed since then
	before Tally     // what was observed in the state before, and what ended it
	bad    int       // failures in a row
	good   int       // successes in a row
}

// Observe gives the health after one more observation. Those that are older than the
// last are ignored.
func (h Health) Observe(by Hysteresis, o Observation) Health {
	if o.At.Before(h.Seen) {
		return h
	}
	h.Seen = o.At
	h.Tally.add(o)
	unknown := h.State == "" || h.State == Unknown
	if o.Err != nil {
		h.bad, h.good, h.Reason = h.bad+1, 0, o.reason()
		switch {
		case h.bad >= by.Failures:
			return h.enter(Unhealthy, o.At)
		case h.State == Healthy || unknown:
			return h.enter(Degraded, o.At)
		}
		return h
	}
	h.bad, h.good = 0, h.good+1
	switch {
	case unknown || h.State == Healthy || h.good >= by.Successes:
		h.Reason = ""
		return h.enter(Healthy, o.At)
	default:
		return h
	}
}

// enter changes the state; what is counted begins anew.
func (h Health) enter(s State, at time.Time) Health {
	if h.State != s {
		h.State, h.Since, h.before, h.Tally = s, at, h.Tally, Tally{}
	}
	return h
}

// Forgotten is the health of an agent that is unknown again.
func (h Health) Forgotten(at time.Time) Health {
	return Health{State: Unknown, Since: at, Seen: at, before: h.Tally}
}

// AtFault tells whether an error of a run is the agent's own fault, so that it may be
// ill: what callers ask for or cancel, and limits, say nothing of it.
func AtFault(err error) bool {
	f := fault.As(err)
	if f == nil {
		return err != nil
	}
	switch f.Kind {
	case fault.Upstream, fault.Timeout, fault.Internal:
		return true
	case fault.Unavailable:
		return f.Code != "agent_overloaded"
	default:
		return false
	}
}
