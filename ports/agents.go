package ports

import (
	"context"

	"agentapi/domain/agent"
	"agentapi/domain/page"
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
	// NoteChanges stores changes of agents' states; one whose ID is there already is
	// stored once only. It is no matter whether the agent is stored.
	NoteChanges(ctx context.Context, changes ...agent.Change) error
	// Changes returns one page of the changes of an agent's state, by id, which is by
	// time. After and Before are change ids; a cursor need not exist any more, but one
	// that is no id is fault.Invalid with code invalid_cursor.
	Changes(ctx context.Context, name agent.Name, q page.Query) (page.Of[agent.Change], error)
	// Stored returns all agents by name. Of their health State, Seen and Reason are
	// kept, of their models the ids and contexts.
	Stored(ctx context.Context) ([]agent.Stored, error)
}
