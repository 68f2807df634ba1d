package completion

import (
	"context"
	"strconv"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/ports"
)

// reserve claims the request's key, if it has one, records that it has begun, and sets
// aside what it may cost, in one transaction, before any agent runs.
func (r *run) reserve(ctx context.Context) (out idempotency.Outcome, err error) {
	in := r.cmd.Caller.Scope()
	if r.claim == nil {
		if r.hold == nil {
			return out, nil
		}
		return out, r.s.Storage.Budgets().Reserve(ctx, in, *r.hold)
	}
	if r.s.Audit == nil && r.hold == nil {
		return r.s.Storage.Idempotency().Claim(ctx, in, *r.claim)
	}
	entry, err := r.s.Audit.Entry(ctx, trail.Note{
		Action: audit.ChatStarted, Who: in, Request: r.cmd.RequestID, Details: map[string]string{"route": r.cmd.Route},
	})
	if err != nil {
		return out, err
	}
	err = r.s.Storage.Atomically(ctx, func(ctx context.Context, tx ports.Repositories) (err error) {
		if out, err = tx.Idempotency().Claim(ctx, in, *r.claim); err != nil || !out.Claimed {
			return err
		}
		if err := r.setAside(ctx, tx); err != nil {
			return err
		}
		return r.s.Audit.Append(ctx, tx, entry)
	})
	if err != nil {
		return idempotency.Outcome{}, err
	}
	return out, nil
}

// note says how the request has ended. It has ids and numbers, and nothing of what
// was said.
func (r *run) note(how audit.Outcome, tokens chat.Usage, why error) trail.Note {
	n := trail.Note{
		Action: audit.ChatCompleted, Who: r.cmd.Caller.Scope(), Outcome: how, Request: r.cmd.RequestID,
		Details: map[string]string{
			"agent": string(r.Agent), "model": r.Served, "attempts": strconv.Itoa(r.Attempts), "stream": strconv.FormatBool(r.cmd.Request.Stream),
			"tokens_in": strconv.Itoa(tokens.Prompt), "tokens_out": strconv.Itoa(tokens.Completion),
		},
	}
	if !r.Session.IsZero() {
		n.What, n.Own = "session", r.session
	}
	if why != nil {
		n.Details["kind"] = fault.KindOf(why).String()
		if f := fault.As(why); f != nil {
			n.Details["code"] = f.Code
		}
	}
	return n
}
