package outage

import (
	"context"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/ports"
)

const (
	// maxUntold is how many switches wait for an audit log that takes none.
	maxUntold = 1000
	// tellAgain is how long it is left alone then.
	tellAgain = time.Second
)

// switched says that something has gone or is back.
func (r *Registry) switched(d ports.Degraded) {
	r.observer.Degraded(context.Background(), d)
	r.mu.Lock()
	if r.untold = append(r.untold, d); len(r.untold) > maxUntold {
		r.untold = r.untold[1:]
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default: // it will be
	}
}

// Record has what goes and what is back recorded in the audit log until ctx ends, in
// order, each at least once: what fails is tried again.
func (r *Registry) Record(ctx context.Context, record func(context.Context, trail.Note) error) {
	again := time.NewTicker(tellAgain)
	defer again.Stop()
	for {
		for ctx.Err() == nil {
			d, ok := r.next()
			if !ok {
				break
			}
			if record(ctx, noteOf(d)) != nil {
				break
			}
			r.told(d)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-again.C:
		}
	}
}

func (r *Registry) next() (d ports.Degraded, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.untold) == 0 {
		return d, false
	}
	return r.untold[0], true
}

// told lets go of the oldest, unless it has gone already for want of room.
func (r *Registry) told(d ports.Degraded) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.untold) > 0 && r.untold[0] == d {
		r.untold = r.untold[1:]
	}
}

func noteOf(d ports.Degraded) trail.Note {
	n := trail.Note{Action: audit.ServerDegraded, Actor: audit.System, Details: map[string]string{
		"dep": d.Dep, "mode": d.Mode, "since": d.Since.UTC().Format(time.RFC3339),
	}}
	if d.Over {
		n.Action = audit.ServerRestored
	}
	return n
}
