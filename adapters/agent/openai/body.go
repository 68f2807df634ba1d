package openai

import (
	"bytes"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/jsontext"
)

// appendBody appends the request's body: what the client sent, with the model's
// own id, with usage asked for, and with the stored transcript where the client
// sent only what is new.
func appendBody(b []byte, task agent.Task) []byte {
	r := task.Request
	at := r.Places
	if !r.Placed {
		at = placesOf(r.Raw)
	}
	if !task.Extended {
		at.Messages = chat.Place{}
	}
	if !r.Stream {
		at.StreamOptions = chat.Place{}
	}
	from := 0
	for _, p := range inOrder(at.Model, at.Messages, at.StreamOptions) {
		if p == (chat.Place{}) {
			continue
		}
		b = append(b, r.Raw[from:p.From]...)
		switch p {
		case at.Model:
			b = jsontext.AppendString(b, task.Model)
		case at.Messages:
			b = appendMessages(b, task.Messages)
		default:
			b = appendOptions(b, r.Raw[p.From:p.To])
		}
		from = p.To
	}
	end := bytes.LastIndexByte(r.Raw, '}')
	b = append(b, r.Raw[from:end]...)
	if r.Stream && at.StreamOptions == (chat.Place{}) {
		b = append(b, `,"stream_options":{"include_usage":true}`...)
	}
	return append(b, '}')
}

func inOrder(x, y, z chat.Place) [3]chat.Place {
	if x.From > y.From {
		x, y = y, x
	}
	if y.From > z.From {
		y, z = z, y
	}
	if x.From > y.From {
		x, y = y, x
	}
	return [3]chat.Place{x, y, z}
}

// placesOf finds the places in a text that was not decoded here.
func placesOf(raw []byte) (at chat.Places) {
	in := jsontext.NewReader(raw)
	// The text is well-formed; an error cannot come.
	_ = walk(in, func(name []byte) error {
		var p *chat.Place
		switch string(name) {
		case "model":
			p = &at.Model
		case "messages":
			p = &at.Messages
		case "stream_options":
			p = &at.StreamOptions
		}
		value, err := in.Value()
		if p != nil {
			*p = chat.Place{From: in.Offset() - len(value), To: in.Offset()}
		}
		return err
	})
	return at
}

// appendOptions appends stream_options with include_usage set: what is used is
// booked, whether the client wants to see it or not.
func appendOptions(b, value []byte) []byte {
	b = append(b, `{"include_usage":true`...)
	in := jsontext.NewReader(value)
	if in.Kind() != '{' {
		return append(b, '}')
	}
	_ = walk(in, func(name []byte) error {
		value, err := in.Value()
		if err == nil && string(name) != "include_usage" {
			b = append(b, ',')
			b = jsontext.AppendString(b, string(name))
			b = append(b, ':')
			b = append(b, value...)
		}
		return err
	})
	return append(b, '}')
}

func appendMessages(b []byte, msgs []chat.Message) []byte {
	b = append(b, '[')
	for i := range msgs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMessage(b, &msgs[i])
	}
	return append(b, ']')
}

func appendMessage(b []byte, m *chat.Message) []byte {
	field := func(name, value string) {
		b = append(b, ',', '"')
		b = append(b, name...)
		b = append(b, `":`...)
		b = jsontext.AppendString(b, value)
	}
	b = append(b, `{"role":`...)
	b = jsontext.AppendString(b, string(m.Role))
	b = append(b, `,"content":`...)
	switch {
	case m.Parts == nil:
		b = append(b, "null"...)
	case len(m.Parts) == 1 && m.Parts[0].Kind == chat.TextPart:
		b = jsontext.AppendString(b, m.Parts[0].Text)
	default:
		b = append(b, '[')
		for i, p := range m.Parts {
			if i > 0 {
				b = append(b, ',')
			}
			if p.JSON != nil {
				b = append(b, p.JSON...)
				continue
			}
			b = append(b, `{"type":"`...)
			b = append(b, p.Kind...)
			b = append(b, `","`...)
			b = append(b, p.Kind...)
			b = append(b, `":`...)
			b = jsontext.AppendString(b, p.Text)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	if m.Name != "" {
		field("name", m.Name)
	}
	if m.Refusal != "" {
		field("refusal", m.Refusal)
	}
	if m.ToolCallID != "" {
		field("tool_call_id", m.ToolCallID)
	}
	if len(m.ToolCalls) > 0 {
		b = append(b, `,"tool_calls":[`...)
		for i, c := range m.ToolCalls {
			if i > 0 {
				b = append(b, ',')
			}
			kind, input := "function", "arguments"
			if c.Custom {
				kind, input = "custom", "input"
			}
			b = append(b, `{"id":`...)
			b = jsontext.AppendString(b, c.ID)
			b = append(b, `,"type":"`+kind+`","`+kind+`":{"name":`...)
			b = jsontext.AppendString(b, c.Name)
			b = append(b, `,"`+input+`":`...)
			b = jsontext.AppendString(b, c.Arguments)
			b = append(b, "}}"...)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}
