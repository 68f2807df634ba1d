// Package telemetry tells many who listen of what happens.
package telemetry

import (
	"context"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/quota"
	"agentapi/ports"
)

// Observers are told one after the other.
type Observers []ports.Observer

var _ ports.Observer = Observers(nil)

// Attempt tells all.
func (all Observers) Attempt(ctx context.Context, name agent.Name, model string, n int) {
	for _, o := range all {
		o.Attempt(ctx, name, model, n)
	}
}

// AttemptFailed tells all.
func (all Observers) AttemptFailed(ctx context.Context, name agent.Name, err error) {
	for _, o := range all {
		o.AttemptFailed(ctx, name, err)
	}
}

// FirstEvent tells all.
func (all Observers) FirstEvent(ctx context.Context, name agent.Name, after time.Duration) {
	for _, o := range all {
		o.FirstEvent(ctx, name, after)
	}
}

// CompletionEnded tells all.
func (all Observers) CompletionEnded(ctx context.Context, end ports.Ended) {
	for _, o := range all {
		o.CompletionEnded(ctx, end)
	}
}

// HealthChanged tells all.
func (all Observers) HealthChanged(ctx context.Context, name agent.Name, h agent.Health) {
	for _, o := range all {
		o.HealthChanged(ctx, name, h)
	}
}

// Limited tells all.
func (all Observers) Limited(ctx context.Context, whose quota.Tier) {
	for _, o := range all {
		o.Limited(ctx, whose)
	}
}

// Unaffordable tells all.
func (all Observers) Unaffordable(ctx context.Context) {
	for _, o := range all {
		o.Unaffordable(ctx)
	}
}

// Degraded tells all.
func (all Observers) Degraded(ctx context.Context, d ports.Degraded) {
	for _, o := range all {
		o.Degraded(ctx, d)
	}
}

// Lost tells all.
func (all Observers) Lost(ctx context.Context, what string, err error) {
	for _, o := range all {
		o.Lost(ctx, what, err)
	}
}

// Swept tells all.
func (all Observers) Swept(ctx context.Context, done ports.Swept, err error) {
	for _, o := range all {
		o.Swept(ctx, done, err)
	}
}

// AuditBroken tells all.
func (all Observers) AuditBroken(ctx context.Context, found audit.Finding) {
	for _, o := range all {
		o.AuditBroken(ctx, found)
	}
}

// Watches is a watch that tells all of many; nil where there are none.
func Watches(all ...ports.Watch) ports.Watch {
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return func(ctx context.Context, op string) (context.Context, func(error)) {
		ends := make([]func(error), len(all))
		for i, w := range all {
			ctx, ends[i] = w(ctx, op)
		}
		return ctx, func(err error) {
			for _, end := range ends {
				end(err)
			}
		}
	}
}
