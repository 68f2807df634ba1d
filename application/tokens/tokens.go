// Package tokens counts what models are told and say, and tells what does not fit them.
package tokens

import (
	"slices"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

const (
	// most is up to how many tokens, by the estimate, something is counted. What is longer
	// is estimated: it would take more time than the figure is worth.
	most = 1 << 19
	// close is how many times the estimate must fit for a prompt not to be counted.
	close = 2
	// sure is how many times too long an estimate must be to refuse a prompt: no text that
	// is meant for a model has so few tokens for its characters.
	sure = 4
)

// Counter counts by a model's own tokenizer where that is known and matters: what is
// booked that the agent did not report, what a budget sets aside, and a prompt that is
// near the bound of its model. All else, and all other models, have chat.EstimateTokens.
// A nil Counter knows no tokenizer. It is safe for concurrent use.
type Counter struct{ Tokenizer ports.Tokenizer }

// of is how a model counts something that is estimated to have so many tokens; nil: it
// is not known, or not worth it.
func (c *Counter) of(model string, estimate int) chat.Count {
	if c == nil || c.Tokenizer == nil || estimate > most {
		return nil
	}
	return c.Tokenizer.Of(model)
}

// Prompt is how many tokens a model, by its agent's id, makes of a transcript and the
// tools that are offered with it.
func (c *Counter) Prompt(model string, msgs []chat.Message, tools []chat.ToolSpec) int {
	estimate := chat.Count(chat.EstimateTokens)
	n := estimate.Prompt(msgs) + estimate.Tools(tools)
	if count := c.of(model, n); count != nil {
		return count.Prompt(msgs) + count.Tools(tools)
	}
	return n
}

// Used is what an answer has used whose agent does not say. It is Estimated in any case:
// what the agent added to the prompt, and what it thought in silence, is not known.
func (c *Counter) Used(model string, msgs []chat.Message, answer chat.Completion) chat.Usage {
	out := chat.Usage{Prompt: c.Prompt(model, msgs, nil), Completion: chat.EstimateAnswer(answer), Estimated: true}
	if count := c.of(model, out.Completion); count != nil {
		out.Completion = count.Answer(answer)
	}
	return out
}

// Fit tells why a model cannot answer a request, for what is known of it: fault.TooLong
// where the prompt, and the answer that it asks for, surely exceed the context;
// fault.Invalid where no answer may be so long; nil: it may. Only text counts, which is
// not refused for an estimate unless that exceeds the context by far. bounded says that
// the agent honours the length that is asked for.
func (c *Counter) Fit(m agent.Model, model string, msgs []chat.Message, r *chat.Request, bounded bool) error {
	answer := r.MaxTokens
	if !bounded {
		answer = 0
	}
	if m.Output > 0 && answer > m.Output {
		param := "max_tokens"
		if slices.Contains(r.Params, "max_completion_tokens") {
			param = "max_completion_tokens"
		}
		return fault.Invalidf(param, "invalid_value", "%s is too large: %d. This model supports at most %d completion tokens, whereas you provided %d.", param, answer, m.Output, answer)
	}
	if m.Context == 0 {
		return nil
	}
	estimate := chat.Count(chat.EstimateTokens).Said(msgs)
	if close*estimate+answer <= m.Context {
		return nil
	}
	n, least, about := estimate, estimate/sure, "about "
	if count := c.of(model, estimate); count != nil {
		n = count.Said(msgs)
		least, about = n, ""
	}
	switch {
	case least+answer <= m.Context:
		return nil
	case answer == 0:
		return tooLong("This model's maximum context length is %d tokens. However, your messages resulted in %s%d tokens. Please reduce the length of the messages.",
			m.Context, about, n)
	default:
		return tooLong("This model's maximum context length is %d tokens. However, you requested %s%d tokens (%d in the messages, %d in the completion). Please reduce the length of the messages or completion.",
			m.Context, about, n+answer, n, answer)
	}
}

func tooLong(format string, args ...any) error {
	return fault.New(fault.TooLong, format, args...).WithCode("context_length_exceeded").WithParam("messages")
}
