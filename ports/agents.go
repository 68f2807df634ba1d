package ports

import (
	"context"

	"agentapi/domain/agent"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Agents keeps what the platform's agents are and how they are, for people and
// reports to read. What a server runs is its configuration alone.
type Agents interface {
	// Mirror stores the agents as they are configured. What is stored and not among
	// them is disabled, models too, and never removed. Servers may do so at the same
	// time; the last holds.
	Mirror(ctx context.Context, agents []agent.Described) error
	// RecordHealth stores how an agent is, in place of what was stored before. An
	// agent that is not stored is passed over.
	RecordHealth(ctx context.Context, name agent.Name, h agent.Health) error
	// Stored returns all agents by name. Of their health State, Seen and Reason are
	// kept, of their models the ids and contexts.
	Stored(ctx context.Context) ([]agent.Stored, error)
}
