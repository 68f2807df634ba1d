package process

import (
	"context"
	"errors"
	"fmt"

	"agentapi/domain/fault"
)

func missing(err error) error {
	return fault.Wrap(fault.Unavailable, err, "The agent's program cannot be run.").WithCode("agent_unavailable").
		WithHint("Install the program, or set the agent's command to where it is.")
}

// Garbled says that the program does not speak as agreed.
func Garbled(cause error) error {
	return fault.Wrap(fault.Upstream, cause, "The agent's program did not keep to its protocol.").WithCode("agent_protocol_error")
}

// ended is the fault of a context that has ended.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return tooSlow("its request's time was up")
	}
	return fault.Wrap(fault.Canceled, context.Cause(ctx), "The request was canceled.")
}

func tooSlow(why string) error {
	return fault.Wrap(fault.Timeout, errors.New(why), "The agent's program took too long.").WithCode("agent_timeout")
}

// died keeps what the program said last on its standard error, for the log.
func died(state error, stderr string) error {
	return fault.Wrap(fault.Upstream, fmt.Errorf("%w; stderr: %q", state, stderr), "The agent's program failed.").WithCode("agent_error")
}
