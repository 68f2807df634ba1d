package ports

import (
	"context"

	"agentapi/domain/agent"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Programs is told of the programs that agents run. It is safe for concurrent use.
type Programs interface {
	// Starting says that a program is about to be started. With an error, which is the
	// caller's then, it must not be.
	Starting(ctx context.Context, p agent.Program) error
	// Ended says that a program and all that it started is gone: state is how it
	// exited, in the words of the operating system, why is nil where it did so by
	// itself and well. ctx may have ended.
	Ended(ctx context.Context, p agent.Program, state string, why error)
}
