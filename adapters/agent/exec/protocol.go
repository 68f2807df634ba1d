package exec

import (
	"encoding/json"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// The protocol, version 1: one JSON object a line, in both directions. The
// request is the first line on standard input, which stays open; a second line,
// {"type":"cancel"}, says that the answer is not wanted any more.

// input is the request.
type input struct {
	Version    int             `json:"version"`
	Type       string          `json:"type"` // run
	Model      string          `json:"model"`
	Messages   []message       `json:"messages"`
	Session    sessionRef      `json:"session"`
	Choices    int             `json:"choices,omitempty"` // where the program said that it serves several
	MaxTokens  int             `json:"max_tokens,omitempty"`
	Stop       []string        `json:"stop,omitempty"`
	Format     string          `json:"format,omitempty"`
	Schema     json.RawMessage `json:"schema,omitempty"`
	Tools      []tool          `json:"tools,omitempty"`
	ToolChoice json.RawMessage `json:"tool_choice,omitempty"`
}

type sessionRef struct {
	ID     string `json:"id"`
	Native string `json:"native,omitempty"` // what the program said in its started line of an earlier turn
	New    int    `json:"new"`              // how many of the last messages it has not seen there
}

type message struct {
	Role       string            `json:"role"`
	Content    *string           `json:"content"`
	Parts      []json.RawMessage `json:"parts,omitempty"` // in place of content, where some are not text
	Name       string            `json:"name,omitempty"`
	ToolCalls  []toolCall        `json:"tool_calls,omitempty"`
	ToolCallID string            `json:"tool_call_id,omitempty"`
}

type toolCall struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
}

// cancel is the line that asks a program to stop.
var cancel = []byte(`{"type":"cancel"}` + "\n")

// encode renders the request line.
func encode(task agent.Task) ([]byte, error) {
	r := task.Request
	in := input{
		Version: 1, Type: "run", Model: task.Model, MaxTokens: r.MaxTokens, Stop: r.Stop, ToolChoice: r.ToolChoice,
		Session: sessionRef{ID: task.Session.ID, Native: task.Session.Native, New: task.Session.New},
	}
	if r.N > 1 {
		in.Choices = r.N
	}
	if r.Format.Kind != "" && r.Format.Kind != chat.PlainText {
		in.Format, in.Schema = string(r.Format.Kind), r.Format.Schema
	}
	for _, t := range r.Tools {
		in.Tools = append(in.Tools, tool{t.Name, t.Description, t.Parameters})
	}
	for i := range task.Messages {
		m, err := encodeMessage(&task.Messages[i])
		if err != nil {
			return nil, err
		}
		in.Messages = append(in.Messages, m)
	}
	line, err := json.Marshal(in)
	if err != nil {
		return nil, fault.Internalf("encoding a request for a program: %w", err)
	}
	return append(line, '\n'), nil
}

func encodeMessage(m *chat.Message) (message, error) {
	out := message{Role: string(m.Role), Name: m.Name, ToolCallID: m.ToolCallID}
	for _, c := range m.ToolCalls {
		out.ToolCalls = append(out.ToolCalls, toolCall{c.ID, c.Name, c.Arguments})
	}
	switch {
	case m.Parts == nil:
	case !m.HasMedia():
		text := m.Text()
		out.Content = &text
	default:
		for _, p := range m.Parts {
			raw := json.RawMessage(p.JSON)
			if raw == nil {
				text, err := json.Marshal(map[string]string{"type": string(p.Kind), string(p.Kind): p.Text})
				if err != nil {
					return out, fault.Internalf("encoding a message for a program: %w", err)
				}
				raw = text
			}
			out.Parts = append(out.Parts, raw)
		}
	}
	return out, nil
}

// output is a line of the program's.
type output struct {
	Type    string `json:"type"`
	Choice  int    `json:"choice"`
	Text    string `json:"text"`    // of text, thought, refusal, acted
	Session string `json:"session"` // of started
	Reason  string `json:"reason"`  // of finished

	ID        string `json:"id"` // of tool_call
	Name      string `json:"name"`
	Arguments string `json:"arguments"`

	Prompt     int `json:"prompt_tokens"` // of usage
	Completion int `json:"completion_tokens"`
	Cached     int `json:"cached_tokens"`
	Reasoning  int `json:"reasoning_tokens"`

	Kind    string `json:"kind"` // of error
	Message string `json:"message"`
}

// kinds are the errors that a program may report.
var kinds = map[string]fault.Kind{
	"invalid": fault.Invalid, "too_long": fault.TooLong, "unsupported": fault.Unsupported, "not_found": fault.NotFound,
	"rate_limited": fault.RateLimited, "timeout": fault.Timeout, "unavailable": fault.Unavailable, "failed": fault.Upstream,
}

// failure is the fault that an error line reports.
func (o *output) failure() error {
	kind, known := kinds[o.Kind]
	if !known {
		kind = fault.Upstream
	}
	text := o.Message
	if text == "" {
		text = "The agent's program failed."
	}
	const most = 500
	if len(text) > most {
		text = text[:most]
	}
	f := fault.New(kind, "%s", text)
	if kind == fault.Upstream {
		f = f.WithCode("agent_error")
	}
	return f
}

// reasons are the finish reasons that a program may give.
var reasons = map[string]chat.FinishReason{
	"": chat.Stop, "stop": chat.Stop, "length": chat.Length, "tool_calls": chat.ToolCalls, "content_filter": chat.ContentFilter,
}
