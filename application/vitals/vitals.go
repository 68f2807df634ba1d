// Package vitals tells whether the server and its agents are well.
package vitals

import (
	"context"
	"time"

	"agentapi/domain/agent"
)

// Service probes agents in the background and answers health questions. It is
// safe for concurrent use.
type Service struct{}

// Report is the state of everything at one moment.
type Report struct {
	Ready    error // nil: the server can serve; else why not
	Draining bool
	Storage  error // nil: it answers
	Agents   []AgentReport
	Started  time.Time
}

// AgentReport is the state of one agent.
type AgentReport struct {
	Name   agent.Name
	Driver string
	Models []string
	Health agent.Health
}

// Ready returns nil when the server can serve; fault.Unavailable otherwise:
// the storage does not answer, or the server is shutting down (code
// shutting_down). Agents do not matter to it.
func (s *Service) Ready(ctx context.Context) error { return nil }

// Report gathers the state of everything; it calls no model.
func (s *Service) Report(ctx context.Context) Report { return Report{} }

// Drain makes the server not ready for good; it happens at shutdown.
func (s *Service) Drain() {}
