package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// check is something that a server is asked.
type check struct {
	name string
	own  bool // only of an AgentAPI
	does func(context.Context, *api) error
}

var checks = []check{
	{"models are listed", false, func(ctx context.Context, a *api) error { _, err := a.models(ctx); return err }},
	{"a model is shown", false, model},
	{"an answer in one piece", false, whole},
	{"an answer has a request id", false, requestID},
	{"a stream's framing", false, framing},
	{"a stream's usage", false, usage},
	{"a tool is called", false, func(ctx context.Context, a *api) error { return tool(ctx, a, false) }},
	{"a tool is called in a stream", false, func(ctx context.Context, a *api) error { return tool(ctx, a, true) }},
	{"error: no key is 401", false, refused("", 401, http.MethodGet, "/models", "", "Authorization", "")},
	{"error: an unknown key is 401", false, refused("invalid_api_key", 401, http.MethodGet, "/models", "", "Authorization", "Bearer sk-nobody-has-this-key")},
	{"error: an unknown model is 404", false, refused("model_not_found", 404, http.MethodPost, "/chat/completions", `{"model":"nobody-has-this","messages":[{"role":"user","content":"hi"}]}`)},
	{"error: broken JSON is 400", false, refused("", 400, http.MethodPost, "/chat/completions", `{"model":`)},
	{"error: no messages is 400", false, noMessages},
	{"error: an unknown route is 404", false, refused("", 404, http.MethodGet, "/no-such-route", "")},
	{"error: a wrong method is 405", false, refused("", 405, http.MethodDelete, "/chat/completions", "")},
	{"limits are told", false, limits},
	{"where an answer is from is told", true, where},
	{"a repetition gets the first answer", true, repeated},
	{"a key is for one request", true, reused},
	{"a stream goes on where it was left", true, resumed},
}

func model(ctx context.Context, a *api) error {
	id, err := a.asked(ctx)
	if err != nil {
		return err
	}
	path := (&url.URL{Path: id}).EscapedPath()
	got, err := a.send(ctx, http.MethodGet, "/models/"+path, "")
	if err != nil {
		return err
	}
	var m struct{ ID, Object string }
	if err := json.Unmarshal(got.body, &m); err != nil || got.status != http.StatusOK || m.ID != id || m.Object != "model" {
		return fmt.Errorf("%d: %s", got.status, got.body)
	}
	return nil
}

// completion is an answer in one piece.
type completion struct {
	ID, Object, Model string
	Created           int64
	Choices           []struct {
		Index   int
		Message struct {
			Role      string
			Content   *string
			ToolCalls []call `json:"tool_calls"`
		}
		FinishReason string `json:"finish_reason"`
	}
	Usage *tokens
}

func whole(ctx context.Context, a *api) error {
	got, err := a.chat(ctx, map[string]any{})
	if err != nil {
		return err
	}
	var c completion
	if err := json.Unmarshal(got.body, &c); err != nil {
		return err
	}
	if c.ID == "" || c.Object != "chat.completion" || c.Created == 0 || c.Model == "" || len(c.Choices) != 1 {
		return fmt.Errorf("id, object, created, model or choices: %s", got.body)
	}
	if o := c.Choices[0]; o.Index != 0 || o.Message.Role != "assistant" || o.Message.Content == nil || *o.Message.Content == "" || o.FinishReason != "stop" && o.FinishReason != "length" {
		return fmt.Errorf("the choice: %s", got.body)
	}
	return c.Usage.check()
}

func requestID(ctx context.Context, a *api) error {
	got, err := a.chat(ctx, map[string]any{})
	if err == nil && got.header.Get("x-request-id") == "" {
		err = fmt.Errorf("there is no x-request-id")
	}
	return err
}

func framing(ctx context.Context, a *api) error {
	got, err := a.chat(ctx, map[string]any{"stream": true})
	if err != nil {
		return err
	}
	if kind, _, err := mime.ParseMediaType(got.header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return fmt.Errorf("the content type is %q", got.header.Get("Content-Type"))
	}
	all, err := read(got.body)
	if err != nil {
		return err
	}
	text, finished := "", ""
	for i, c := range all {
		if c.ID == "" || c.ID != all[0].ID || c.Created != all[0].Created || c.Model != all[0].Model || c.Object != "chat.completion.chunk" || c.has("usage") && c.Usage != nil || len(c.Choices) != 1 {
			return fmt.Errorf("event %d has another id, created or model than the first, a usage that nobody asked for, or not one choice: %s", i, c.raw)
		}
		o := c.Choices[0]
		if i == 0 && o.Delta.Role != "assistant" || finished != "" {
			return fmt.Errorf("event %d is the first and has no role, or comes after the finish reason: %s", i, c.raw)
		}
		if text += o.Delta.Content; o.FinishReason != nil {
			finished = *o.FinishReason
		}
	}
	if text == "" || finished != "stop" && finished != "length" {
		return fmt.Errorf("the text is %q, the finish reason %q", text, finished)
	}
	return nil
}

func usage(ctx context.Context, a *api) error {
	got, err := a.chat(ctx, map[string]any{"stream": true, "stream_options": map[string]bool{"include_usage": true}})
	if err != nil {
		return err
	}
	all, err := read(got.body)
	if err != nil {
		return err
	}
	last := all[len(all)-1]
	for _, c := range all[:len(all)-1] {
		if !c.has("usage") || c.Usage != nil {
			return fmt.Errorf(`an event before the last has no "usage":null: %s`, c.raw)
		}
	}
	if len(last.Choices) != 0 || !bytes.Contains(last.raw, []byte(`"choices":[]`)) {
		return fmt.Errorf("the last event has choices: %s", last.raw)
	}
	return last.Usage.check()
}

func tool(ctx context.Context, a *api, stream bool) error {
	ask := map[string]any{"stream": stream, "tool_choice": "required", "tools": json.RawMessage(
		`[{"type":"function","function":{"name":"greet","parameters":{"type":"object","properties":{"whom":{"type":"string"}},"required":["whom"]}}}]`)}
	if a.tools != "" {
		ask["model"] = a.tools
	}
	got, err := a.chat(ctx, ask)
	if got.status == http.StatusBadRequest && bytes.Contains(got.body, []byte("unsupported")) {
		return notApplicable("the model has no tools")
	}
	if err != nil {
		return err
	}
	var calls []call
	reason := ""
	if stream {
		all, err := read(got.body)
		if err != nil {
			return err
		}
		for _, c := range all {
			for _, o := range c.Choices {
				for _, piece := range o.Delta.ToolCalls {
					if piece.ID != "" {
						calls = append(calls, piece)
					} else if n := len(calls); n > 0 && calls[n-1].Index == piece.Index {
						calls[n-1].Function.Arguments += piece.Function.Arguments
					}
				}
				if o.FinishReason != nil {
					reason = *o.FinishReason
				}
			}
		}
	} else {
		var c completion
		if err := json.Unmarshal(got.body, &c); err != nil || len(c.Choices) != 1 {
			return fmt.Errorf("not one choice: %s", got.body)
		}
		calls, reason = c.Choices[0].Message.ToolCalls, c.Choices[0].FinishReason
	}
	if len(calls) == 0 || reason != "tool_calls" {
		return fmt.Errorf("%d calls, and the finish reason %q", len(calls), reason)
	}
	if c := calls[0]; c.ID == "" || c.Type != "function" || c.Function.Name != "greet" || !json.Valid([]byte(c.Function.Arguments)) {
		return fmt.Errorf("the call is %+v", c)
	}
	return nil
}

// refused is a check of what must fail with a status, a code where it is given, and an
// error as OpenAI's clients read it.
func refused(code string, status int, method, path, body string, headers ...string) func(context.Context, *api) error {
	return func(ctx context.Context, a *api) error {
		got, err := a.send(ctx, method, path, body, headers...)
		if err != nil {
			return err
		}
		return got.isError(status, code)
	}
}

func (got answer) isError(status int, code string) error {
	var e struct {
		Error *struct {
			Message, Type string
			Param, Code   *string
		}
	}
	if err := json.Unmarshal(got.body, &e); err != nil || got.status != status || e.Error == nil || e.Error.Message == "" || e.Error.Type == "" {
		return fmt.Errorf("%d: %s", got.status, got.body)
	}
	for _, member := range []string{`"param":`, `"code":`} {
		if !bytes.Contains(bytes.ReplaceAll(got.body, []byte(`": `), []byte(`":`)), []byte(member)) {
			return fmt.Errorf("the error has no %s %s", strings.Trim(member, `":`), got.body)
		}
	}
	if code != "" && (e.Error.Code == nil || *e.Error.Code != code) {
		return fmt.Errorf("the code is not %s: %s", code, got.body)
	}
	return nil
}

func noMessages(ctx context.Context, a *api) error {
	got, err := a.chat(ctx, map[string]any{"messages": []any{}})
	if got.status == 0 {
		return err
	}
	return got.isError(http.StatusBadRequest, "")
}

func limits(ctx context.Context, a *api) error {
	got, err := a.chat(ctx, map[string]any{})
	if err != nil {
		return err
	}
	told := 0
	for _, of := range []string{"requests", "tokens"} {
		limit, left := got.header.Get("x-ratelimit-limit-"+of), got.header.Get("x-ratelimit-remaining-"+of)
		if limit == "" && left == "" {
			continue
		}
		told++
		most, err := strconv.Atoi(limit)
		n, err2 := strconv.Atoi(left)
		if err != nil || err2 != nil || n < 0 || n > most || got.header.Get("x-ratelimit-reset-"+of) == "" {
			return fmt.Errorf("of %s %q of %q are left, until %q", of, left, limit, got.header.Get("x-ratelimit-reset-"+of))
		}
	}
	if told == 0 {
		return notApplicable("the caller has no limit")
	}
	return nil
}

func where(ctx context.Context, a *api) error {
	got, err := a.chat(ctx, map[string]any{})
	for _, name := range []string{"agent", "model", "attempts", "route", "session-id"} {
		if err == nil && got.header.Get("x-agentapi-"+name) == "" {
			err = fmt.Errorf("there is no x-agentapi-%s", name)
		}
	}
	return err
}

func repeated(ctx context.Context, a *api) error {
	key := "conformance-" + rand.Text()
	first, err := a.chat(ctx, map[string]any{}, "Idempotency-Key", key)
	if err != nil {
		return err
	}
	second, err := a.chat(ctx, map[string]any{}, "Idempotency-Key", key)
	if err == nil && !bytes.Equal(first.body, second.body) {
		err = fmt.Errorf("first %s, then %s", first.body, second.body)
	}
	return err
}

func reused(ctx context.Context, a *api) error {
	key := "conformance-" + rand.Text()
	if _, err := a.chat(ctx, map[string]any{}, "Idempotency-Key", key); err != nil {
		return err
	}
	got, err := a.chat(ctx, map[string]any{"user": "another"}, "Idempotency-Key", key)
	if got.status == 0 {
		return err
	}
	return got.isError(http.StatusUnprocessableEntity, "idempotency_key_reuse")
}

func resumed(ctx context.Context, a *api) error {
	key := "conformance-" + rand.Text()
	first, err := a.chat(ctx, map[string]any{"stream": true}, "Idempotency-Key", key)
	if err != nil {
		return err
	}
	all, err := read(first.body)
	if err != nil {
		return err
	}
	if all[0].eventID == "" {
		return fmt.Errorf("the events have no ids")
	}
	rest, err := a.chat(ctx, map[string]any{"stream": true}, "Idempotency-Key", key, "Last-Event-ID", all[0].eventID)
	if err != nil {
		return err
	}
	if _, want, _ := bytes.Cut(first.body, []byte("\n\n")); !bytes.Equal(rest.body, want) {
		return fmt.Errorf("what follows the first event is %q, not %q", rest.body, want)
	}
	return nil
}
