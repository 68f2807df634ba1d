package bootstrap

import (
	"context"
	"time"

	"go.uber.org/fx"

	"agentapi/application/access"
	"agentapi/application/budgets"
	"agentapi/application/completion"
	"agentapi/application/limits"
	"agentapi/application/operations"
	"agentapi/application/revocation"
	"agentapi/ports"
)

// How long a request may run on whose caller was shut out while servers cannot tell each
// other: this long, and a look at the storage.
const (
	reviewEvery = 15 * time.Second
	reviewLimit = 5 * time.Second
)

// follow has the server hear of what others change. None of what is called waits for
// anything.
func follow(b ports.Bulletin, a *access.Service, op *operations.Service, money *budgets.Service, lim *limits.Service, life fx.Lifecycle) {
	standing := func() {
		a.Hear()
		lim.Hear()
	}
	background(life, func(ctx context.Context) {
		b.Follow(ctx, map[string]func(){access.Topic: standing, operations.Topic: op.Hear, budgets.Topic: money.Hear})
	})
}

// revoke has running requests end with their callers' right to call.
func revoke(a *access.Service, comp *completion.Service, storage ports.Storage, life fx.Lifecycle) {
	svc := revocation.New(revocation.Params{
		Directory: storage.Directory(), Runs: comp, Changed: a.Changed(), Now: now, Every: reviewEvery, Limit: reviewLimit,
	})
	background(life, svc.Run)
}
