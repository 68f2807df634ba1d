package agent_test

import (
	"errors"
	"testing"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

func TestAStateChangesByObservationsInARow(t *testing.T) {
	by := agent.Hysteresis{Failures: 3, Successes: 2}
	for name, c := range map[string]struct {
		seen string // . well, x failed
		want agent.State
	}{
		"nothing was seen":                            {"", ""},
		"the first success makes it healthy":          {".", agent.Healthy},
		"the first failure makes it degraded":         {"x", agent.Degraded},
		"one failure is not enough":                   {"..x", agent.Degraded},
		"two failures are not enough":                 {"..xx", agent.Degraded},
		"three are":                                   {"..xxx", agent.Unhealthy},
		"only in a row":                               {".xx.xx", agent.Degraded},
		"one success is not enough":                   {".x.", agent.Degraded},
		"two are":                                     {".x..", agent.Healthy},
		"one success does not heal what is unhealthy": {".xxx.", agent.Unhealthy},
		"two do": {".xxx..", agent.Healthy},
		"what goes up and down does not change its state": {".xxx.x.x.x.x.", agent.Unhealthy},
	} {
		var h agent.Health
		at := time.Unix(1000, 0)
		for _, r := range c.seen {
			o := agent.Observation{At: at}
			if r == 'x' {
				o.Err = errors.New("refused")
			}
			h, at = h.Observe(by, o), at.Add(time.Second)
		}
		if h.State != c.want {
			t.Errorf("%s: it is %s, not %s", name, h.State, c.want)
		}
	}
}

func TestWhatWasSeenBeforeTheLastIsIgnored(t *testing.T) {
	by, at := agent.Hysteresis{Failures: 1, Successes: 1}, time.Unix(1000, 0)
	h := agent.Health{}.Observe(by, agent.Observation{At: at})
	if late := h.Observe(by, agent.Observation{At: at.Add(-time.Second), Err: errors.New("x")}); late != h {
		t.Errorf("it became %+v", late)
	}
}

func TestOnlyAnAgentsOwnFailuresSpeakAgainstIt(t *testing.T) {
	for _, k := range []fault.Kind{fault.Upstream, fault.Timeout, fault.Internal, fault.Unavailable} {
		if !agent.AtFault(fault.New(k, "x")) {
			t.Errorf("%s is not its fault", k)
		}
	}
	for _, err := range []error{
		nil, fault.New(fault.Canceled, "x"), fault.New(fault.Invalid, "x"), fault.New(fault.RateLimited, "x"), fault.New(fault.TooLong, "x"),
		fault.New(fault.Unavailable, "x").WithCode("agent_overloaded"),
	} {
		if agent.AtFault(err) {
			t.Errorf("%v is its fault", err)
		}
	}
}
