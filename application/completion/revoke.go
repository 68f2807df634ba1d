package completion

import (
	"context"
	"errors"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Caller is whose something is that runs.
type Caller struct {
	Org  tenancy.OrgID
	User tenancy.UserID
	Key  tenancy.KeyID // that they came by; zero: they came in person
}

func callerOf(who tenancy.Principal) Caller {
	c := Caller{Org: who.Org(), User: who.User()}
	if k := who.Key(); k != nil {
		c.Key = k.ID
	}
	return c
}

// guest is one who listens to a stream, which another may have begun.
type guest struct {
	who  Caller
	stop context.CancelCauseFunc
}

// listen gives one who listens the context that ends it, until they leave.
func (l *live) listen(ctx context.Context, who Caller) (_ context.Context, leave func()) {
	g := &guest{who: who}
	ctx, g.stop = context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.guests[g] = struct{}{}
	return ctx, func() {
		l.mu.Lock()
		delete(l.guests, g)
		l.mu.Unlock()
		g.stop(context.Canceled)
	}
}

// Callers are all on whose behalf something runs on this instance, each once.
func (s *Service) Callers() map[Caller]bool {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	out := make(map[Caller]bool)
	for r := range s.live.all {
		out[callerOf(r.cmd.Caller)] = true
	}
	for g := range s.live.guests {
		out[g.who] = true
	}
	return out
}

// Revoke ends what runs on behalf of callers who may not call any more, and does not
// wait for that. Their clients are told why they are refused.
func (s *Service) Revoke(refused map[Caller]error) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	for r := range s.live.all {
		if f := fault.As(refused[callerOf(r.cmd.Caller)]); f != nil {
			r.stop(stopping{f})
		}
	}
	for g := range s.live.guests {
		if f := fault.As(refused[g.who]); f != nil {
			g.stop(stopping{f})
		}
	}
}

// stopped tells whether the run was ended here.
func (r *run) stopped() bool {
	var s stopping
	return errors.As(context.Cause(r.ctx), &s)
}

// toldBy is an error as a client shall see it whose context was ended here.
func toldBy(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var s stopping
	if errors.As(context.Cause(ctx), &s) {
		return s.told.WithCause(err)
	}
	return err
}
