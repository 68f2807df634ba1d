package vertex

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"agentapi/adapters/agent/refusal"
	"agentapi/adapters/agent/sse"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// maxLine bounds one event of a stream.
const maxLine = 32 << 20

// Run answers the task. It always streams: then what comes is known as it comes,
// and a client that leaves ends the call.
func (a *Agent) Run(ctx context.Context, task agent.Task) ports.Events {
	return func(yield func(chat.Event, error) bool) {
		if err := a.run(ctx, task, yield); err != nil {
			yield(chat.Event{}, err)
		}
	}
}

// run makes one answer. Its error is yet to be yielded.
func (a *Agent) run(ctx context.Context, task agent.Task, yield func(chat.Event, error) bool) error {
	if ctx.Err() != nil {
		return refusal.Ended(ctx)
	}
	body, err := a.encode(task)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := a.ask(ctx, task.Model, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			text = nil // the status says enough
		}
		return refused(resp.StatusCode, refusal.Fault(refusal.Answer{Status: resp.StatusCode, Header: resp.Header.Get, Body: text}))
	}
	s := stream{agent: a, yield: yield, in: sse.NewReader(resp.Body, maxLine)}
	err = s.read()
	switch {
	case s.left:
		return nil
	case ctx.Err() != nil:
		return refusal.Ended(ctx)
	case err != nil:
		return err
	}
	if s.used != nil && !yield(chat.Event{Kind: chat.Used, Usage: s.used}, nil) {
		return nil
	}
	if yield(chat.Event{Kind: chat.Stopped, Reason: s.reason}, nil) {
		yield(chat.Event{Kind: chat.Finished}, nil)
	}
	return nil
}

// ask sends the request.
func (a *Agent) ask(ctx context.Context, model string, body []byte) (*http.Response, error) {
	token, project, err := a.token(ctx)
	if err != nil {
		return nil, err
	}
	where := a.o.host() + "/v1/projects/" + url.PathEscape(project) + "/locations/" + url.PathEscape(a.o.Location) +
		"/publishers/google/models/" + url.PathEscape(model) + ":streamGenerateContent?alt=sse"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where, bytes.NewReader(body))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "Vertex AI cannot be asked.")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	if trace := ports.Traceparent(ctx); trace != "" {
		req.Header.Set("Traceparent", trace)
	}
	req.Header.Set("User-Agent", "agentapi")
	resp, err := a.client.Do(req)
	if err == nil {
		return resp, nil
	}
	if ctx.Err() != nil {
		return nil, refusal.Ended(ctx)
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
		return nil, fault.Wrap(fault.Unavailable, fmt.Errorf("%w: %w", agent.ErrUnreached, err), "Vertex AI cannot be reached.").WithCode("agent_unavailable")
	}
	return nil, fault.Wrap(fault.Upstream, err, "Vertex AI closed the connection without an answer.").WithCode("upstream_error")
}

// stream reads Gemini's events and yields ours.
type stream struct {
	agent  *Agent
	yield  func(chat.Event, error) bool
	in     *sse.Reader
	calls  int
	reason chat.FinishReason
	used   *chat.Usage
	left   bool // the consumer has gone
}

// chunk is one event of a stream.
type chunk struct {
	Candidates []struct {
		Content      content
		FinishReason string
	}
	PromptFeedback *struct{ BlockReason string }
	UsageMetadata  *struct {
		PromptTokenCount, CandidatesTokenCount, ThoughtsTokenCount, CachedContentTokenCount, ToolUsePromptTokenCount int
	}
	Error json.RawMessage
}

// read yields the answer up to its end. An error is yet to be yielded.
func (s *stream) read() error {
	for {
		data, err := s.in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fault.Wrap(fault.Upstream, err, "Vertex AI broke off in the middle of its answer.").WithCode("upstream_error")
		}
		var c chunk
		if err := json.Unmarshal(data, &c); err != nil {
			return fault.Wrap(fault.Upstream, err, "Vertex AI said what cannot be understood.").WithCode("upstream_error")
		}
		if c.Error != nil {
			return refusal.InBand(data, nil)
		}
		if err := s.hear(&c); err != nil {
			return err
		}
		if s.left {
			return nil
		}
	}
	if s.reason == "" {
		return fault.New(fault.Upstream, "The agent's answer ended without a finish reason.").WithCode("stream_truncated")
	}
	return nil
}

func (s *stream) say(e chat.Event) { s.left = s.left || !s.yield(e, nil) }

func (s *stream) hear(c *chunk) error {
	if c.PromptFeedback != nil && c.PromptFeedback.BlockReason != "" {
		s.reason = chat.ContentFilter
	}
	if u := c.UsageMetadata; u != nil {
		s.used = &chat.Usage{
			Prompt: u.PromptTokenCount + u.ToolUsePromptTokenCount, Completion: u.CandidatesTokenCount + u.ThoughtsTokenCount,
			Cached: u.CachedContentTokenCount, Reasoning: u.ThoughtsTokenCount,
		}
	}
	for i := range c.Candidates[:min(1, len(c.Candidates))] {
		for _, p := range c.Candidates[i].Content.Parts {
			s.part(&p)
		}
		if r := c.Candidates[i].FinishReason; r != "" {
			reason, err := s.finish(r)
			if err != nil {
				return err
			}
			s.reason = reason
		}
	}
	return nil
}

func (s *stream) part(p *part) {
	switch {
	case p.Call != nil:
		id := "call_" + strings.ToLower(rand.Text()[:20])
		s.agent.marks.keep(id, p.Signature)
		args := string(p.Call.Args)
		if args == "" || args == "null" {
			args = "{}"
		}
		s.say(chat.Event{Kind: chat.Called, Call: &chat.CallDelta{Index: s.calls, ID: id, Name: p.Call.Name, Arguments: args}})
		s.calls++
	case p.Text == "":
	case p.Thought:
		s.say(chat.Event{Kind: chat.Thought, Text: p.Text})
	default:
		s.say(chat.Event{Kind: chat.Text, Text: p.Text})
	}
}

// finish gives the reason in our words.
func (s *stream) finish(reason string) (chat.FinishReason, error) {
	switch reason {
	case "STOP":
		if s.calls > 0 {
			return chat.ToolCalls, nil
		}
		return chat.Stop, nil
	case "MAX_TOKENS":
		return chat.Length, nil
	case "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL":
		return "", fault.Wrap(fault.Upstream, errors.New(reason), "The model called a tool in a way that cannot be understood.").WithCode("upstream_error")
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "LANGUAGE", "MODEL_ARMOR":
		return chat.ContentFilter, nil
	default:
		return chat.Stop, nil
	}
}

// maxSignatures bounds how many signatures are remembered.
const maxSignatures = 10_000

// signatures remembers what Gemini signed its calls with, which it wants back
// with their results and OpenAI's dialect has no place for. What is lost, by a
// restart or because there are too many, costs the model its thoughts, nothing else.
type signatures struct {
	mu    sync.Mutex
	known map[string]string // by the call's id
	order []string
}

func (g *signatures) keep(id, signature string) {
	if signature == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known == nil {
		g.known = make(map[string]string)
	}
	if len(g.order) >= maxSignatures {
		delete(g.known, g.order[0])
		g.order = g.order[1:]
	}
	g.known[id] = signature
	g.order = append(g.order, id)
}

func (g *signatures) of(id string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known[id]
}

// refused says of a refusal what to mend at Google.
func refused(status int, f *fault.Error) *fault.Error {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return f.WithHint("The operator of this server must see that the agent's credentials have the role Vertex AI User in its project, and that the Vertex AI API is enabled there; the log has Google's words.")
	case http.StatusNotFound:
		return f.WithHint("The operator of this server must see that the model is served in the agent's location (vertex.location).")
	default:
		return f
	}
}
