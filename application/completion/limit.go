package completion

import (
	"context"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/quota"
)

// limit takes what the request may use of all limits that hold for it, once, before the
// first agent is asked, and where it is known which before a budget sets money aside.
func (r *run) limit(ctx context.Context, first agent.Candidate) error {
	if r.limited {
		return nil
	}
	r.limited = true
	names := append(make([]string, 0, 2), r.cmd.Request.Model)
	if name := first.String(); name != names[0] {
		names = append(names, name)
	}
	want := quota.Want{
		Tokens:  int64(chat.EstimatePrompt(r.transcript)) + int64(r.cmd.Request.MaxTokens)*int64(max(1, r.cmd.Request.N)),
		Program: r.cat.Agent(first.Agent).Capabilities().Program,
	}
	grant, err := r.s.Limits.Take(ctx, r.cmd.RequestID, r.cmd.Caller, want, names...)
	r.grant, r.program = grant, want.Program
	if grant != nil && r.cmd.Standing != nil {
		r.cmd.Standing(grant.Standings())
	}
	return err
}

// runs takes a place for the agent's program, where it has one and the agents before it
// had none.
func (r *run) runs(ctx context.Context, can agent.Capabilities) (err error) {
	if !can.Program || r.program {
		return nil
	}
	r.later, err = r.s.Limits.Take(ctx, r.cmd.RequestID, r.cmd.Caller, quota.Want{Program: true, Only: true})
	r.program = err == nil
	return err
}

// unlimit gives back what the request has not used.
func (r *run) unlimit(ctx context.Context) {
	tokens := r.answer.Usage.Prompt + r.answer.Usage.Completion
	for _, of := range r.lost {
		tokens += of.Tokens.Prompt + of.Tokens.Completion
	}
	r.grant.Settle(ctx, int64(tokens))
	r.later.Settle(ctx, 0)
}
