package ports

import (
	"context"

	"agentapi/domain/agent"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Switches keeps which agents administrators have taken out of service. They are the
// platform's: no scope bounds them.
type Switches interface {
	// All returns the switches that were ever turned, by agent.
	All(ctx context.Context) ([]agent.Switch, error)
	// Turn stores what change makes of an agent's switch in one atomic step; one that
	// was never turned is agent.On. change may run more than once; its own error is
	// returned as it is and nothing is stored. Agent stays, and Version becomes one
	// more than change saw.
	Turn(ctx context.Context, name agent.Name, change func(*agent.Switch) error) error
}
