package completion

import (
	"context"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/agent"
	"agentapi/domain/audit"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// settleWithin bounds the commit that must not depend on the client's staying.
const settleWithin = 5 * time.Second

// settle stores the turn, the usage and the idempotency result in one
// transaction. Only then may the client be told that the answer is complete.
func (r *run) settle(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if !r.s.Near {
		limited, cancel := context.WithTimeout(ctx, settleWithin)
		defer cancel()
		ctx = limited
	}
	r.tell(func(is *shown) { is.phase = Storing })
	at := r.s.Now()
	record := r.usage(usage.Completed, r.answer.Usage, at)
	entry, err := r.s.Audit.Entry(ctx, r.note(audit.OK, r.answer.Usage, nil))
	if err != nil {
		return unstored(err)
	}
	r.unlimit(ctx) // beside the commit
	err = r.s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) error {
		if err := r.keep(ctx, tx, at); err != nil {
			return err
		}
		if r.hold != nil {
			if err := tx.Budgets().Release(ctx, r.cmd.Caller.Scope(), r.hold.ID); err != nil {
				return err
			}
		}
		if err := tx.Usage().Record(ctx, r.cmd.Caller.Scope(), append(r.lost, record)...); err != nil {
			return err
		}
		if err := r.s.Audit.Append(ctx, tx, entry); err != nil || r.claim == nil {
			return err
		}
		return tx.Idempotency().Complete(ctx, r.cmd.Caller.Scope(), *r.claim, r.result(at))
	})
	switch {
	case err == nil:
		return nil
	case fault.As(err) != nil && fault.As(err).Code == idempotency.Passed:
		return fault.Wrap(fault.Conflict, err, "Another request has run with this Idempotency-Key meanwhile. Send it again to get its answer.").
			WithCode("idempotency_in_progress").WithRetryAfter(time.Second)
	case fault.Is(err, fault.NotFound):
		return fault.Wrap(fault.Conflict, err, "The session was deleted while this request ran.").WithCode("session_changed")
	case fault.Is(err, fault.Conflict):
		return fault.Wrap(fault.Conflict, err, "The session was changed by another request while this one ran. Send it again.").
			WithCode("session_changed").WithRetryAfter(time.Second)
	default:
		return unstored(err)
	}
}

func unstored(err error) error {
	if trail.Refused(err) {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, "The answer could not be stored.").WithCode("storage_unavailable").WithRetryAfter(time.Second)
}

func (r *run) result(at time.Time) idempotency.Result {
	return idempotency.Result{
		ID: r.Head.ID, Created: r.Created, Model: r.Model, Agent: string(r.Agent), AgentID: r.Served, Attempts: r.Attempts,
		Route: r.Route, Session: r.session, How: string(r.How), Ignored: r.Ignored, Events: r.events, Completed: at,
	}
}

func (r *run) usage(how usage.Outcome, tokens chat.Usage, at time.Time) usage.Record {
	return usage.Record{
		Key: callerOf(r.cmd.Caller).Key, ID: r.usageID, Request: r.cmd.RequestID, Session: r.Session, Agent: r.Agent, Model: r.Served,
		Tokens: tokens, Cost: r.s.Budgets.Cost(agent.Candidate{Agent: r.Agent, Model: r.Served}, tokens), Outcome: how, At: at,
	}
}

// book accounts for an answer that was not completed: what was observed of it is
// booked, and the idempotency key is given back, or keeps the refusal where the
// same request would be refused again.
func (r *run) book(ctx context.Context, why error) {
	late := entry{scope: r.cmd.Caller.Scope(), claim: r.claim, usage: r.lost, hold: r.hold}
	how, outcome := usage.Failed, audit.Failed
	if fault.Is(why, fault.Canceled) || r.stopped() {
		how, outcome = usage.Canceled, audit.Canceled
	}
	if tokens, any := r.seen(); any {
		r.answer.Usage = tokens
		late.usage = append(late.usage, r.usage(how, tokens, r.s.Now()))
	}
	if r.claim != nil && final(why) {
		late.result = &idempotency.Result{Failure: fault.As(why), Completed: r.s.Now()}
	}
	if r.s.Audit != nil && (r.Attempts > 0 || r.claim != nil) {
		n := r.note(outcome, r.answer.Usage, why)
		late.note = &n
	}
	if len(late.usage) > 0 || late.claim != nil || late.hold != nil || late.note != nil {
		r.s.late.book(ctx, late)
	}
}

// seen is what the attempt has used, as far as it was observed.
func (r *run) seen() (tokens chat.Usage, any bool) {
	c := r.fold.Completion()
	if len(c.Choices) == 0 || r.usageID.IsZero() {
		return tokens, false
	}
	if !c.Counted {
		return r.estimate(c), true
	}
	return c.Usage, true
}

// lose keeps what a failed attempt has used, before another agent takes over.
func (r *run) lose() {
	if tokens, any := r.seen(); any {
		record := r.usage(usage.Failed, tokens, r.s.Now())
		record.ID = usage.NewID(record.At, r.s.entropy())
		r.lost = append(r.lost, record)
	}
}

// final tells whether the same request would fail the same way again.
func final(err error) bool {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.TooLong, fault.Unsupported, fault.NotFound:
		return true
	default:
		return false
	}
}
