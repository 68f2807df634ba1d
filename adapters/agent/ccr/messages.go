package ccr

import (
	"encoding/json"
	"fmt"
	"strings"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// request is one of Anthropic's messages requests.
type request struct {
	Model       string    `json:"model"`
	MaxTokens   int       `json:"max_tokens"`
	Stream      bool      `json:"stream"`
	System      string    `json:"system,omitempty"`
	Messages    []message `json:"messages"`
	Tools       []tool    `json:"tools,omitempty"`
	ToolChoice  *choice   `json:"tool_choice,omitempty"`
	Temperature *float64  `json:"temperature,omitempty"`
	TopP        *float64  `json:"top_p,omitempty"`
	Stop        []string  `json:"stop_sequences,omitempty"`
}

type message struct {
	Role    string  `json:"role"`
	Content []block `json:"content"`
}

type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text,omitempty"`
	Source    *source         `json:"source,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	ToolUseID string          `json:"tool_use_id,omitempty"`
	Content   string          `json:"content,omitempty"`
}

type source struct {
	Type      string `json:"type"`
	MediaType string `json:"media_type,omitempty"`
	Data      string `json:"data,omitempty"`
	URL       string `json:"url,omitempty"`
}

type tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"input_schema"`
}

type choice struct {
	Type            string `json:"type"`
	Name            string `json:"name,omitempty"`
	DisableParallel bool   `json:"disable_parallel_tool_use,omitempty"`
}

// encode renders a task. fault.Unsupported: it holds what the dialect or the
// gateway cannot take.
func (a *Agent) encode(task agent.Task, model string) ([]byte, error) {
	r := task.Request
	s := r.Sampling()
	out := request{Model: model, MaxTokens: r.MaxTokens, Stream: true, Temperature: s.Temperature, TopP: s.TopP, Stop: r.Stop}
	if out.MaxTokens == 0 {
		out.MaxTokens = a.o.MaxTokens
	}
	if out.Temperature != nil {
		*out.Temperature = min(*out.Temperature, 1) // the dialect's highest
	}
	for i := range task.Messages {
		if err := out.add(&task.Messages[i], fmt.Sprintf("messages[%d]", i)); err != nil {
			return nil, err
		}
	}
	for _, t := range r.Tools {
		if t.Custom {
			return nil, fault.New(fault.Unsupported, "This agent takes no custom tools.").WithCode("unsupported_parameter").WithParam("tools")
		}
		schema := t.Parameters
		if len(schema) == 0 {
			schema = json.RawMessage(`{"type":"object","properties":{}}`)
		}
		out.Tools = append(out.Tools, tool{t.Name, t.Description, schema})
	}
	if len(out.Tools) > 0 {
		out.ToolChoice = chosen(r.ToolChoice, s.ParallelToolCalls)
	}
	return json.Marshal(out)
}

// add appends a message; those of one role become one, as the dialect wants.
func (r *request) add(m *chat.Message, at string) error {
	if text := m.Text(); stalls(text) {
		return fault.New(fault.Unsupported, "The agent ccr cannot take a text with %d characters without a break.", maxRun).
			WithCode("unsupported_value").WithParam(at + ".content")
	}
	var blocks []block
	role := "user"
	switch {
	case m.Role.Instructs():
		r.System = strings.TrimPrefix(r.System+"\n\n"+m.Text(), "\n\n")
		return nil
	case m.Role == chat.Tool || m.Role == chat.Function:
		blocks = []block{{Type: "tool_result", ToolUseID: m.ToolCallID, Content: m.Text()}}
	case m.Role == chat.Assistant:
		role = "assistant"
		fallthrough
	default:
		for j, p := range m.Parts {
			b, err := part(p)
			if err != nil {
				return fault.As(err).WithParam(fmt.Sprintf("%s.content[%d]", at, j))
			}
			if b.Type != "text" || b.Text != "" {
				blocks = append(blocks, b)
			}
		}
		if m.Refusal != "" {
			blocks = append(blocks, block{Type: "text", Text: m.Refusal})
		}
		for _, c := range m.ToolCalls {
			input := json.RawMessage(c.Arguments)
			if !json.Valid(input) {
				input = json.RawMessage(`{}`)
			}
			blocks = append(blocks, block{Type: "tool_use", ID: c.ID, Name: c.Name, Input: input})
		}
	}
	if len(blocks) == 0 {
		return nil
	}
	if n := len(r.Messages); n > 0 && r.Messages[n-1].Role == role {
		r.Messages[n-1].Content = append(r.Messages[n-1].Content, blocks...)
		return nil
	}
	r.Messages = append(r.Messages, message{role, blocks})
	return nil
}

// part renders a content part.
func part(p chat.Part) (block, error) {
	switch p.Kind {
	case chat.TextPart, chat.RefusalPart:
		return block{Type: "text", Text: p.Text}, nil
	case chat.ImagePart:
		var in struct {
			Image struct{ URL string } `json:"image_url"`
		}
		if err := json.Unmarshal(p.JSON, &in); err != nil {
			return block{}, fault.Wrap(fault.Internal, err, "An image could not be read.")
		}
		rest, inline := strings.CutPrefix(in.Image.URL, "data:")
		if !inline {
			return block{Type: "image", Source: &source{Type: "url", URL: in.Image.URL}}, nil
		}
		media, data, ok := strings.Cut(rest, ";base64,")
		if ok {
			return block{Type: "image", Source: &source{Type: "base64", MediaType: media, Data: data}}, nil
		}
	}
	return block{}, fault.New(fault.Unsupported, "This agent does not take content of type %s.", p.Kind).WithCode("unsupported_value")
}

// chosen renders a tool choice; nil where the client did not choose.
func chosen(raw json.RawMessage, parallel *bool) *choice {
	out := choice{Type: "auto", DisableParallel: parallel != nil && !*parallel}
	var word string
	var named struct{ Function struct{ Name string } }
	switch {
	case json.Unmarshal(raw, &word) == nil && word == "required":
		out.Type = "any"
	case word == "none":
		out.Type = "none"
	case json.Unmarshal(raw, &named) == nil && named.Function.Name != "":
		out.Type, out.Name = "tool", named.Function.Name
	case !out.DisableParallel && word == "":
		return nil
	}
	return &out
}
