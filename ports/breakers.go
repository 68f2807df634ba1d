package ports

import "agentapi/domain/agent"

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Guarded is an Agent that leaves a model alone which keeps failing, and tells how its
// answers end. It is safe for concurrent use.
type Guarded interface {
	Agent
	// Breakers lists the breakers that are not closed, by model.
	Breakers() []agent.Breaker
	// Close closes all breakers, so that the next request of every model is let
	// through; it returns how many were not closed.
	Close() int
	// Watch has told be called at the end of every run of the agent, with its error;
	// nil is an answer that was well. What never reached the agent is not told. told
	// must not block. It is called once, before the first run.
	Watch(told func(err error))
}
