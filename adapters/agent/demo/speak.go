package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// echo says what the user said last.
func (r *run) echo() error { return r.say(pieces(r.last(), 4), 0) }

const tale = "Once upon a time there was a demonstration. It had no model, no memory and no opinion, " +
	"and it said so to everyone who asked. People sent it questions, and it told them this story, always the same, " +
	"word by word, so that they could see how an answer streams through the server. " +
	"When they had seen enough they configured a real agent, and the demonstration was content, " +
	"for that is what it was made for. "

// story tells of itself, as long as it may.
func (r *run) story() error { return r.say(words(tale+"The end."), 0) }

// slow tells the same, word by word.
func (r *run) slow() error { return r.say(words(tale+"The end."), r.delay) }

// tools calls a tool that the client offers and, once there is a result, tells of it.
func (r *run) tools() error {
	msgs := r.task.Messages
	if len(msgs) > 0 {
		if m := &msgs[len(msgs)-1]; m.Role == chat.Tool || m.Role == chat.Function {
			return r.say(words("The tool answered: "+m.Text()), 0)
		}
	}
	tool := r.wanted()
	if tool == nil {
		return r.say(words("This demonstration calls a tool when the request offers one."), 0)
	}
	call := &chat.CallDelta{ID: fmt.Sprintf("call_demo_%d_%d", len(msgs), r.choice), Custom: tool.Custom, Name: tool.Name}
	if err := r.send(chat.Event{Kind: chat.Called, Choice: r.choice, Call: call}); err != nil {
		return err
	}
	arguments := r.last()
	if !tool.Custom {
		arguments = example(tool.Parameters)
	}
	r.tokens += chat.EstimateTokens(tool.Name) + chat.EstimateTokens(arguments)
	for _, piece := range pieces(arguments, 2) {
		if err := r.send(chat.Event{Kind: chat.Called, Choice: r.choice, Call: &chat.CallDelta{Arguments: piece}}); err != nil {
			return err
		}
	}
	reason := chat.ToolCalls
	if r.task.Request.Functions {
		reason = chat.FunctionCall
	}
	return r.send(chat.Event{Kind: chat.Stopped, Choice: r.choice, Reason: reason})
}

// wanted is the tool to call: the one that tool_choice names, else the first;
// nil where there is none or none may be called.
func (r *run) wanted() *chat.ToolSpec {
	var choice struct {
		Name             string // of function_call
		Function, Custom struct{ Name string }
	}
	req := r.task.Request
	if bytes.Equal(req.ToolChoice, []byte(`"none"`)) || len(req.Tools) == 0 {
		return nil
	}
	if len(req.ToolChoice) > 0 && req.ToolChoice[0] == '{' && json.Unmarshal(req.ToolChoice, &choice) == nil {
		for i := range req.Tools {
			if n := req.Tools[i].Name; n == choice.Name || n == choice.Function.Name || n == choice.Custom.Name {
				return &req.Tools[i]
			}
		}
	}
	return &req.Tools[0]
}

// json answers with JSON, of the schema that was asked for where there is one.
func (r *run) json() error {
	if f := r.task.Request.Format; f.Kind == chat.JSONSchema {
		return r.say(pieces(example(f.Schema), 4), 0)
	}
	text, err := json.Marshal(map[string]any{"demo": true, "you_said": r.last()})
	if err != nil {
		return fault.Internalf("demo: %w", err)
	}
	return r.say(pieces(string(text), 4), 0)
}

// flaky fails in the way that the prompt names, or else at once.
func (r *run) flaky() error {
	prompt := r.last()
	has := func(word string) bool { return strings.Contains(prompt, word) }
	switch {
	case has("429"):
		return fault.New(fault.RateLimited, "The demonstration was asked to be at its limit.").WithCode("rate_limit_exceeded").WithRetryAfter(time.Second)
	case has("timeout"):
		return fault.New(fault.Timeout, "The demonstration was asked to be too slow.").WithCode("upstream_timeout")
	case has("midstream"):
		if err := r.send(chat.Event{Kind: chat.Text, Choice: r.choice, Text: "This answer ends in the middle of "}); err != nil {
			return err
		}
		return fault.New(fault.Upstream, "The demonstration was asked to fail in the middle of its answer.").WithCode("upstream_error")
	default:
		return fault.New(fault.Unavailable, "The demonstration was asked to be unavailable.").WithCode("agent_unavailable").
			WithHint("The model flaky always fails: say 503, 429, timeout or midstream to choose how.")
	}
}
