package droid

import (
	"context"
	"errors"
	"strings"
	"time"

	"agentapi/adapters/agent/refusal"
	"agentapi/adapters/agent/relay"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// turn is one answer.
type turn struct {
	agent   *Agent
	program *program
	task    agent.Task
	yield   func(chat.Event, error) bool

	run      *relay.Run
	text     strings.Builder // of the answer
	block    string          // the message that the text last came of
	reported tokens          // what droid says that it used
	finished bool            // the answer is complete, and delivered
}

// answer says the prompt and yields what comes. An error is yet to be yielded; nil
// without finished means that the consumer left.
func (t *turn) answer(ctx context.Context, prompt string) error {
	p := t.program
	p.folder.dirty()
	t.run = p.pass.Begin(ctx)
	defer t.run.End()
	defer p.listen()()
	if !t.yield(chat.Event{Kind: chat.Started, Text: p.native}, nil) {
		return nil
	}
	if err := p.call(ctx, "droid.add_user_message", map[string]string{"text": prompt}, nil); err != nil {
		return err
	}
	for {
		select {
		case n := <-p.notes:
			over, left, err := t.hear(n)
			switch {
			case left:
				return nil
			case err != nil:
				return err
			case over:
				return t.finish(ctx)
			}
		case <-p.live.Done():
			return t.failed(p.died())
		case <-ctx.Done():
			return refusal.Ended(ctx)
		}
	}
}

// hear takes one note: over at the end of the turn, left when the consumer has
// gone.
func (t *turn) hear(n note) (over, left bool, err error) {
	e := chat.Event{}
	switch n.Type {
	case "assistant_text_delta":
		e = chat.Event{Kind: chat.Text, Text: strings.ToValidUTF8(n.TextDelta, "\ufffd")}
		if t.block != n.MessageID && t.text.Len() > 0 {
			e.Text = "\n\n" + e.Text // after it has used a tool
		}
		t.block = n.MessageID
		t.text.WriteString(e.Text)
	case "thinking_text_delta":
		e = chat.Event{Kind: chat.Thought, Text: strings.ToValidUTF8(n.TextDelta+n.Text, "\ufffd")}
	case "tool_call":
		e = chat.Event{Kind: chat.Acted, Text: n.ToolUse.Name}
	case "error":
		return false, false, t.failed(fault.Wrap(fault.Upstream, errors.New(string(n.Message)), "The agent failed.").WithCode("agent_error"))
	case "agent_turn_completed":
		t.reported = n.TokenUsage
		if n.Reason != "completed" {
			return false, false, t.failed(fault.Wrap(fault.Upstream, errors.New(n.Reason), "The agent broke its answer off.").WithCode("agent_error"))
		}
		return true, false, nil
	}
	if e.Text == "" {
		return false, false, nil
	}
	return false, !t.yield(e, nil), nil
}

// failed prefers what the provider said to what droid makes of it.
func (t *turn) failed(err error) error {
	if f := t.run.Err(); f != nil {
		return f
	}
	return err
}

// settling is how long calls beside the answer, such as that for the session's
// title, may outlast it, so that what they use is counted.
const settling = time.Second

// finish ends a complete answer.
func (t *turn) finish(ctx context.Context) error {
	// An answer that was cut off in the middle is complete to droid.
	if f := t.run.Err(); f != nil {
		return f
	}
	t.run.Settle(settling)
	u, exact := t.run.Usage()
	if r := t.reported; !exact && r.InputTokens+r.OutputTokens > 0 {
		u = chat.Usage{
			Prompt: r.InputTokens + r.CacheReadTokens + r.CacheCreationTokens, Completion: r.OutputTokens,
			Cached: r.CacheReadTokens, CacheWrite: r.CacheCreationTokens, Reasoning: min(r.ThinkingTokens, r.OutputTokens),
		}
		exact = true
	}
	p := t.program
	p.seen = digest(append(t.task.Messages[:len(t.task.Messages):len(t.task.Messages)], chat.NewMessage(chat.Assistant, t.text.String())))
	if err := p.folder.keep(p.native, p.seen); err != nil {
		p.folder.dirty() // then the next process begins anew
	}
	if exact && !t.yield(chat.Event{Kind: chat.Used, Usage: &u}, nil) {
		return nil
	}
	if !t.yield(chat.Event{Kind: chat.Stopped, Reason: chat.Stop}, nil) {
		return nil
	}
	t.finished = true
	t.yield(chat.Event{Kind: chat.Finished}, nil)
	return nil
}
