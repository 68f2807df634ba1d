package refusal

import (
	"context"
	"errors"

	"agentapi/domain/fault"
)

// Ended is the fault of a context that has ended: its cause, if that is one, else
// Timeout or Canceled.
func Ended(ctx context.Context) error {
	if f := fault.As(context.Cause(ctx)); f != nil {
		return f
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.Wrap(fault.Timeout, ctx.Err(), "The time for the answer was up.").WithCode("agent_timeout")
	}
	return fault.Wrap(fault.Canceled, context.Cause(ctx), "The request was canceled.")
}
