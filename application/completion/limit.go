package completion

import (
	"context"

	"agentapi/domain/chat"
)

// limit takes what the request may use of all limits that hold for it, before an agent
// is asked.
func (r *run) limit(ctx context.Context) error {
	names := []string{r.cmd.Request.Model}
	if first := r.candidates[0].String(); first != names[0] {
		names = append(names, first)
	}
	tokens := int64(chat.EstimatePrompt(r.transcript)) + int64(r.cmd.Request.MaxTokens)*int64(max(1, r.cmd.Request.N))
	grant, err := r.s.Limits.Take(ctx, r.cmd.RequestID, r.cmd.Caller, tokens, names...)
	r.grant = grant
	if grant != nil && r.cmd.Standing != nil {
		r.cmd.Standing(grant.Standings())
	}
	return err
}

// unlimit gives back what the request has not used.
func (r *run) unlimit(ctx context.Context) {
	tokens := r.answer.Usage.Prompt + r.answer.Usage.Completion
	for _, of := range r.lost {
		tokens += of.Tokens.Prompt + of.Tokens.Completion
	}
	r.grant.Settle(ctx, int64(tokens))
}
