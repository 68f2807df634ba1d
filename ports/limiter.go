package ports

import (
	"context"

	"agentapi/domain/quota"
)

//go:generate go tool mockgen -source=$GOFILE -destination=portmock/$GOFILE -package=portmock

// Limiter keeps how much is in use, for all servers that share it, by one clock. Where
// that is set back, nothing is in use for longer or less long than it would have been. A
// method returns fault.Unavailable when it cannot be reached; nobody knows then
// whether it did what was asked.
type Limiter interface {
	// Take grants all of a claim or nothing, in one atomic step. That it refuses is no
	// error. A claim's ID is new, and its Lease positive where it has places.
	Take(ctx context.Context, c quota.Claim) (quota.Decision, error)
	// Settle ends a claim that was granted: its places are free, and of each of its
	// rates, in order, so many units come back; negative ones are used in addition,
	// beyond the limit if need be. Places that are free already stay so.
	Settle(ctx context.Context, c quota.Claim, back ...int64) error
	// Renew has the claim hold its places for another Lease from now; those that were
	// lost meanwhile stay lost.
	Renew(ctx context.Context, c quota.Claim) error
}
