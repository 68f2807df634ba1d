package completion

import (
	"context"

	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/ports"
)

// foresee finds what the request may cost, where budgets bound its caller. It comes
// before the key is claimed, since the money is set aside with it; what fails here fails
// again once the request has begun, and is said then. fault.QuotaExhausted: it is known
// that there is no room. What limits refuse sets nothing aside.
func (r *run) foresee(ctx context.Context) error {
	any, err := r.s.Budgets.Any(ctx, r.cmd.Caller.Org())
	if err != nil || !any {
		return err
	}
	if r.unforeseen = r.resolve(ctx); r.unforeseen != nil {
		return nil
	}
	history, err := r.remembered(ctx)
	if err != nil {
		return err
	}
	_, r.transcript, _ = session.Continue(history, r.cmd.Request.Messages, !r.cmd.Conversation.ID.IsZero())
	if len(history) == 0 { // else an agent may have a session of its own
		if r.unforeseen = r.contain(); r.unforeseen != nil {
			return nil
		}
	}
	if r.hold, err = r.s.Budgets.For(r.cmd.Caller, r.route.Candidates, r.transcript, r.cmd.Request); err != nil || len(r.route.Candidates) > 1 {
		return err // of several it is chosen later which is asked
	}
	return r.limit(ctx, r.route.Candidates[0])
}

// unaffordable tells the observer of a budget that had no room, and gives err back.
func (s *Service) unaffordable(ctx context.Context, err error) error {
	if fault.Is(err, fault.QuotaExhausted) {
		s.Observer.Unaffordable(ctx)
	}
	return err
}

// remembered is what is stored of the conversation that the request goes on with.
func (r *run) remembered(ctx context.Context) ([]session.Turn, error) {
	var (
		want     = r.cmd.Conversation
		in       = r.cmd.Caller.Scope()
		sessions = r.s.Storage.Sessions()
		id       = want.ID
	)
	if id.IsZero() {
		if want.Key.IsZero() {
			return nil, nil
		}
		stored, err := sessions.ByKey(ctx, in, want.Key)
		if err != nil {
			return nil, unless(fault.NotFound, err)
		}
		id = stored.ID
	}
	history, err := sessions.History(ctx, in, id)
	return history, unless(fault.NotFound, err)
}

func unless(k fault.Kind, err error) error {
	if fault.Is(err, k) {
		return nil
	}
	return err
}

// setAside reserves the money for the request, in the transaction that begins it.
func (r *run) setAside(ctx context.Context, tx ports.Repositories) error {
	if r.hold == nil {
		return nil
	}
	return tx.Budgets().Reserve(ctx, r.cmd.Caller.Scope(), *r.hold)
}

// giveBack releases what was set aside, in the transaction that books what was used.
func (e *entry) giveBack(ctx context.Context, tx ports.Repositories) error {
	if e.hold == nil {
		return nil
	}
	return tx.Budgets().Release(ctx, e.scope, e.hold.ID)
}
