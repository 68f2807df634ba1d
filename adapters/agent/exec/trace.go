package exec

import (
	"context"

	"agentapi/ports"
)

// traced is what tells a program of the trace that its run belongs to, by the name that
// OpenTelemetry gives it; nil: it belongs to none.
func traced(ctx context.Context) map[string]string {
	if trace := ports.Traceparent(ctx); trace != "" {
		return map[string]string{"TRACEPARENT": trace}
	}
	return nil
}
