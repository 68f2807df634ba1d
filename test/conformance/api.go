package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// api is a server that is asked.
type api struct {
	base, key    string
	model, tools string // empty: the first model that is listed; what model is
	client       *http.Client
	own          *bool // is it an AgentAPI, once that is known
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send asks as its holder does; headers are pairs, and an empty value takes one away.
func (a *api) send(ctx context.Context, method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(a.base, "/")+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+a.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, text}, err
}

// chat asks a model, which the request names where it has none, and gives a 200.
func (a *api) chat(ctx context.Context, request map[string]any, headers ...string) (answer, error) {
	if request["model"] == nil {
		model, err := a.asked(ctx)
		if err != nil {
			return answer{}, err
		}
		request["model"] = model
	}
	if request["messages"] == nil {
		request["messages"] = []map[string]string{{"role": "user", "content": "Say hello to the world."}}
	}
	body, err := json.Marshal(request)
	if err != nil {
		return answer{}, err
	}
	got, err := a.send(ctx, http.MethodPost, "/chat/completions", string(body), headers...)
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("%d: %s", got.status, got.body)
	}
	return got, err
}

// asked is the model that is asked.
func (a *api) asked(ctx context.Context) (string, error) {
	if a.model != "" {
		return a.model, nil
	}
	all, err := a.models(ctx)
	if err == nil {
		a.model = all[0]
	}
	return a.model, err
}

// models lists the models; there is one at least.
func (a *api) models(ctx context.Context) ([]string, error) {
	got, err := a.send(ctx, http.MethodGet, "/models", "")
	if err != nil {
		return nil, err
	}
	var list struct {
		Object string
		Data   []struct {
			ID, Object string
			Created    *int64
			OwnedBy    *string `json:"owned_by"`
		}
	}
	if err := json.Unmarshal(got.body, &list); err != nil || got.status != http.StatusOK || list.Object != "list" || len(list.Data) == 0 {
		return nil, fmt.Errorf("no list of models: %d %s", got.status, got.body)
	}
	var ids []string
	for _, m := range list.Data {
		if m.ID == "" || m.Object != "model" || m.Created == nil || m.OwnedBy == nil {
			return nil, fmt.Errorf("the model %q lacks object, created or owned_by", m.ID)
		}
		ids = append(ids, m.ID)
	}
	return ids, nil
}

// isAgentAPI tells whether the server is one of ours, whose extensions it then has.
func (a *api) isAgentAPI(ctx context.Context) bool {
	if a.own == nil {
		got, err := a.chat(ctx, map[string]any{})
		own := err == nil && got.header.Get("x-agentapi-agent") != ""
		a.own = &own
	}
	return *a.own
}

// chunk is an event of a stream.
type chunk struct {
	eventID string // empty where it has none
	raw     []byte

	ID, Object string
	Created    int64
	Model      string
	Choices    []struct {
		Index int
		Delta struct {
			Role, Content string
			ToolCalls     []call `json:"tool_calls"`
		}
		FinishReason *string `json:"finish_reason"`
	}
	Usage *tokens
}

// has tells whether the event has a member, whatever its value.
func (c *chunk) has(member string) bool {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(c.raw, &all) // it is an object, or it were no chunk
	_, has := all[member]
	return has
}

type call struct {
	Index    int
	ID, Type string
	Function struct{ Name, Arguments string }
}

type tokens struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

func (t *tokens) check() error {
	if t == nil || t.Prompt <= 0 || t.Completion <= 0 || t.Total != t.Prompt+t.Completion {
		return fmt.Errorf("the usage is %+v", t)
	}
	return nil
}

// read takes a stream apart, and holds it to its framing byte by byte: comments, then
// events of an id perhaps and one line of data, each with one empty line behind; the last
// one is [DONE].
func read(stream []byte) ([]chunk, error) {
	text, done := bytes.CutSuffix(stream, []byte("data: [DONE]\n\n"))
	if !done {
		return nil, fmt.Errorf("the stream does not end with [DONE] and an empty line, but with %q", stream[max(0, len(stream)-40):])
	}
	var all []chunk
	for event := range bytes.SplitSeq(text, []byte("\n\n")) {
		if len(event) == 0 || event[0] == ':' {
			continue
		}
		var c chunk
		if id, rest, ok := bytes.Cut(event, []byte("\n")); ok && bytes.HasPrefix(id, []byte("id: ")) {
			c.eventID, event = string(id[len("id: "):]), rest
		}
		data, ok := bytes.CutPrefix(event, []byte("data: "))
		if !ok || bytes.ContainsAny(data, "\r\n") {
			return nil, fmt.Errorf("the event is not one line of data: %q", event)
		}
		c.raw = data
		if err := json.Unmarshal(data, &c); err != nil {
			return nil, fmt.Errorf("%w: %s", err, data)
		}
		all = append(all, c)
	}
	if !bytes.HasSuffix(text, []byte("\n\n")) || len(all) == 0 {
		return nil, fmt.Errorf("%d events come before [DONE], with %q behind", len(all), text[max(0, len(text)-4):])
	}
	return all, nil
}

func clip(s string) string {
	if r := []rune(s); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return s
}
