package ccr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"agentapi/adapters/agent/refusal"
	"agentapi/adapters/agent/relay"
	"agentapi/adapters/agent/sse"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// A foreign gateway that is left goes on asking its provider, and cannot be told
// to stop: its place is held for a while, so that what runs is bounded.
const (
	foreignSlots = 16
	foreignHold  = 60 * time.Second
)

// The bounds of what is asked and read.
const (
	maxRequest = 24 << 20
	maxLine    = 16 << 20
)

// run makes one answer. Its error is yet to be yielded.
func (a *Agent) run(ctx context.Context, task agent.Task, p *Provider, model string, yield func(chat.Event, error) bool) (err error) {
	if ctx.Err() != nil {
		return refusal.Ended(ctx)
	}
	at := &endpoint{url: strings.TrimSuffix(a.o.URL, "/"), key: a.o.APIKey}
	var relayed *relay.Run
	if p == nil {
		select {
		case a.slots <- struct{}{}:
		default:
			return fault.New(fault.Unavailable, "The agent's gateway has as much to do as it can.").WithCode("agent_overloaded").WithRetryAfter(time.Second)
		}
	} else {
		if at, err = a.own.endpoint(ctx); err != nil {
			return err
		}
		relayed = at.passes[p.Name].Begin(ctx)
		defer relayed.End()
		model = p.Name + "," + relayed.Model(model)
	}
	complete := false
	if p == nil {
		defer func() {
			if complete {
				<-a.slots
				return
			}
			time.AfterFunc(foreignHold, func() { <-a.slots })
		}()
	}
	body, err := a.encode(task, model)
	if err != nil {
		return err
	}
	if len(body) > maxRequest {
		return fault.New(fault.TooLarge, "The request is too large for this agent.")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.url+"/v1/messages", bytes.NewReader(body))
	if err != nil {
		return fault.Wrap(fault.Internal, err, "The agent's gateway cannot be asked.")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Anthropic-Version", "2023-06-01")
	req.Header.Set("X-Api-Key", at.key)
	if trace := ports.Traceparent(ctx); trace != "" {
		req.Header.Set("Traceparent", trace)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return a.away(ctx, err)
	}
	defer resp.Body.Close()
	s := &stream{yield: yield, in: sse.NewReader(resp.Body, maxLine), calls: map[int]*call{}}
	if resp.StatusCode == http.StatusOK {
		err = s.read()
	} else {
		complete = true
		err = refused(resp)
	}
	switch {
	case s.left:
		return nil
	case ctx.Err() != nil:
		return refusal.Ended(ctx)
	case relayed != nil && relayed.Err() != nil:
		// What the provider said is the truth; an answer that was cut off is complete to ccr.
		return relayed.Err()
	case err != nil:
		return err
	}
	complete = true
	used, known := s.usage()
	if relayed != nil {
		if u, ok := relayed.Usage(); ok {
			used, known = u, true
		}
	}
	if known && !yield(chat.Event{Kind: chat.Used, Usage: &used}, nil) {
		return nil
	}
	if yield(chat.Event{Kind: chat.Stopped, Reason: s.reason}, nil) {
		yield(chat.Event{Kind: chat.Finished}, nil)
	}
	return nil
}

func (a *Agent) away(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return refusal.Ended(ctx)
	}
	return fault.Wrap(fault.Unavailable, err, "The agent's gateway cannot be reached.").WithCode("agent_unavailable")
}

// refused makes a fault of the gateway's refusal. Around what the provider said
// it puts a stack trace with paths of its machine; none of that is shown.
func refused(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		body = nil // the status says enough
	}
	var said struct {
		Error struct {
			Message, Code string
			Attempts      []struct {
				Status  int
				Message string
			}
		}
	}
	if json.Unmarshal(body, &said) != nil {
		said.Error.Code = "own" // plain text is about the gateway's own key
	}
	inner := []byte(nil)
	if _, rest, ok := strings.Cut(said.Error.Message, "): "); ok {
		var first json.RawMessage
		if json.NewDecoder(strings.NewReader(rest)).Decode(&first) == nil {
			inner = first
		}
	}
	if n := len(said.Error.Attempts); n > 0 && said.Error.Attempts[n-1].Status >= 400 {
		resp.StatusCode = said.Error.Attempts[n-1].Status
	}
	return refusal.Fault(refusal.Answer{Status: resp.StatusCode, Header: resp.Header.Get, Body: inner})
}

// stream reads Anthropic's events and yields ours.
type stream struct {
	yield  func(chat.Event, error) bool
	in     *sse.Reader
	calls  map[int]*call // by the content block's index
	reason chat.FinishReason
	used   usage
	left   bool // the consumer has gone
}

type call struct {
	index int
	bare  bool // no arguments have come
}

type usage struct {
	Input      int `json:"input_tokens"`
	Output     int `json:"output_tokens"`
	CacheRead  int `json:"cache_read_input_tokens"`
	CacheWrite int `json:"cache_creation_input_tokens"`
}

// event is what is read of any of the dialect's events.
type event struct {
	Type    string
	Index   int
	Message struct{ Usage usage }
	Block   struct {
		Type, ID, Name string
		Input          json.RawMessage
	} `json:"content_block"`
	Delta struct {
		Type, Text, Thinking string
		Partial              string `json:"partial_json"`
		Reason               string `json:"stop_reason"`
	}
	Usage *usage
}

// usage gives what the gateway counted. Zero of both is what some of its
// transformers say when they do not know.
func (s *stream) usage() (chat.Usage, bool) {
	u := s.used
	return chat.Usage{
		Prompt: u.Input + u.CacheRead + u.CacheWrite, Completion: u.Output, Cached: u.CacheRead, CacheWrite: u.CacheWrite,
	}, u.Input+u.CacheRead > 0 && u.Output > 0
}

// read yields the answer up to its end. An error is yet to be yielded.
func (s *stream) read() error {
	for {
		data, err := s.in.Next()
		if errors.Is(err, io.EOF) {
			return fault.New(fault.Upstream, "The agent's answer ended without a finish reason.").WithCode("stream_truncated")
		}
		if err != nil {
			return fault.Wrap(fault.Upstream, err, "The agent's gateway broke off in the middle of its answer.").WithCode("upstream_error")
		}
		var e event
		if err := json.Unmarshal(data, &e); err != nil {
			return fault.Wrap(fault.Upstream, err, "The agent's gateway did not keep to its protocol.").WithCode("agent_protocol_error")
		}
		if e.Type == "message_stop" {
			break
		}
		if e.Type == "error" {
			return refusal.InBand(data, nil)
		}
		if s.hear(&e); s.left {
			return nil
		}
	}
	if s.reason == "" {
		s.reason = chat.Stop
	}
	return nil
}

func (s *stream) say(e chat.Event) { s.left = s.left || !s.yield(e, nil) }

func (s *stream) hear(e *event) {
	switch e.Type {
	case "message_start":
		s.count(&e.Message.Usage)
	case "content_block_start":
		if e.Block.Type == "tool_use" {
			c := &call{index: len(s.calls), bare: true}
			s.calls[e.Index] = c
			s.say(chat.Event{Kind: chat.Called, Call: &chat.CallDelta{Index: c.index, ID: e.Block.ID, Name: e.Block.Name}})
			if len(e.Block.Input) > 2 { // some gateways give all of it at once
				c.bare = false
				s.say(chat.Event{Kind: chat.Called, Call: &chat.CallDelta{Index: c.index, Arguments: string(e.Block.Input)}})
			}
		}
	case "content_block_delta":
		switch {
		case e.Delta.Text != "":
			s.say(chat.Event{Kind: chat.Text, Text: e.Delta.Text})
		case e.Delta.Thinking != "":
			s.say(chat.Event{Kind: chat.Thought, Text: e.Delta.Thinking})
		case e.Delta.Partial != "":
			if c := s.calls[e.Index]; c != nil {
				c.bare = false
				s.say(chat.Event{Kind: chat.Called, Call: &chat.CallDelta{Index: c.index, Arguments: e.Delta.Partial}})
			}
		}
	case "content_block_stop":
		if c := s.calls[e.Index]; c != nil && c.bare {
			s.say(chat.Event{Kind: chat.Called, Call: &chat.CallDelta{Index: c.index, Arguments: "{}"}})
		}
	case "message_delta":
		s.count(e.Usage)
		switch e.Delta.Reason {
		case "":
		case "max_tokens", "model_context_window_exceeded":
			s.reason = chat.Length
		case "tool_use":
			s.reason = chat.ToolCalls
		case "refusal":
			s.reason = chat.ContentFilter
		default:
			s.reason = chat.Stop
		}
	}
}

// count takes what an event says is used; a later one replaces what it names.
func (s *stream) count(u *usage) {
	if u == nil {
		return
	}
	if u.Input+u.CacheRead+u.CacheWrite > 0 {
		s.used.Input, s.used.CacheRead, s.used.CacheWrite = u.Input, u.CacheRead, u.CacheWrite
	}
	if u.Output > 0 {
		s.used.Output = u.Output
	}
}
