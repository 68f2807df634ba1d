package ports

import (
	"context"
	"iter"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Events is the answer of an agent while it comes in.
//
// A sequence is run once, by one goroutine. It acquires what it needs (a
// process, a connection) when its first event is asked for, and has released
// all of it when the loop over it ends, for whatever reason. The last element
// is either a Finished event or a non-nil error, which is a *fault.Error; with
// an error, the event is zero.
type Events = iter.Seq2[chat.Event, error]

// Agent turns a task into events.
type Agent interface {
	// Run never blocks and never fails: failure is an element of the sequence.
	// When ctx ends, the sequence ends within the agent's grace period (2 s at
	// most) with fault.Canceled or fault.Timeout, and nothing that it started is
	// left. Kinds: Invalid, TooLong, Unsupported (the task's fault, final);
	// RateLimited, Upstream, Unavailable, Timeout (another agent may do better).
	Run(ctx context.Context, task agent.Task) Events
	// Capabilities says what the agent can honour; constant.
	Capabilities() agent.Capabilities
	// Models asks what the agent can serve now. An empty list means that it
	// cannot say. fault.Unavailable, fault.Upstream.
	Models(ctx context.Context) ([]agent.Model, error)
	// Probe is a cheap check that the agent could run: nil, or
	// fault.Unavailable with a message and a hint fit for an operator. It calls
	// no model and costs no money.
	Probe(ctx context.Context) error
}
