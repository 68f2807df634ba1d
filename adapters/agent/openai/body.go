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
	var (
		in      = jsontext.NewReader(r.Raw)
		from    = 0
		options = false
	)
	splice := func(value []byte, write func()) {
		end := in.Offset()
		b = append(b, r.Raw[from:end-len(value)]...)
		write()
		from = end
	}
	// The text was read strictly before; an error cannot come.
	_ = walk(in, func(name []byte) error {
		value, err := in.Value()
		if err != nil {
			return err
		}
		switch {
		case string(name) == "model":
			splice(value, func() { b = jsontext.AppendString(b, task.Model) })
		case string(name) == "messages" && task.Extended:
			splice(value, func() { b = appendMessages(b, task.Messages) })
		case string(name) == "stream_options" && r.Stream:
			options = true
			splice(value, func() { b = appendOptions(b, value) })
		}
		return nil
	})
	end := bytes.LastIndexByte(r.Raw, '}')
	b = append(b, r.Raw[from:end]...)
	if r.Stream && !options {
		b = append(b, `,"stream_options":{"include_usage":true}`...)
	}
	return append(b, '}')
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
