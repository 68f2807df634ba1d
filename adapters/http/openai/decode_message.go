package openai

import (
	"fmt"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

func (d *decoder) messages() error {
	if d.r.Kind() != '[' {
		return d.mistyped("messages", "an array")
	}
	d.req.Messages = make([]chat.Message, 0, 2) // as most requests have that begin a conversation
	return d.r.Array(func(n int) error {
		if n >= chat.MaxMessages {
			return fault.Invalidf("messages", "array_too_long", "messages may hold at most %d messages.", chat.MaxMessages)
		}
		if d.r.Kind() != '{' {
			return d.mistyped(place(n, ""), "an object")
		}
		return d.message(n)
	})
}

// message reads one message. Which members it needs depends on its role, which
// may come last, so that is checked at the end.
func (d *decoder) message(n int) error {
	var (
		m          chat.Message
		hasContent bool // it is there and not null
		hasOther   bool // an answer in another form: audio, function_call
	)
	err := d.r.Object(func(name []byte) error {
		if d.r.Kind() == 'n' {
			return d.r.Null()
		}
		switch string(name) {
		case "role":
			return d.role(n, &m.Role)
		case "content":
			hasContent = true
			return d.content(n, &m)
		case "name":
			return d.textOf(n, ".name", &m.Name)
		case "refusal":
			return d.textOf(n, ".refusal", &m.Refusal)
		case "tool_call_id":
			return d.textOf(n, ".tool_call_id", &m.ToolCallID)
		case "tool_calls":
			return d.toolCalls(n, &m)
		case "function_call":
			hasOther = true
			return d.object(place(n, ".function_call"))
		case "audio":
			hasOther = true
			d.special(place(n, ".audio"))
			return d.object(place(n, ".audio"))
		case "annotations", "reasoning", "reasoning_content", "reasoning_details", "parsed":
			// What answers carry comes back when a client sends them again.
			_, err := d.r.Value()
			return err
		default:
			return d.unknown(place(n, "."+string(name)))
		}
	})
	if err != nil {
		return err
	}
	if err := d.checkMessage(n, &m, hasContent, hasOther); err != nil {
		return err
	}
	d.req.Messages = append(d.req.Messages, m)
	return nil
}

// textOf reads a text of a message.
func (d *decoder) textOf(n int, field string, into *string) (err error) {
	if d.r.Kind() != '"' {
		return d.mistyped(place(n, field), "a string")
	}
	*into, err = d.r.String()
	return err
}

// role reads a message's role. Those that there are need no text of their own.
func (d *decoder) role(n int, into *chat.Role) error {
	if d.r.Kind() != '"' {
		return d.mistyped(place(n, ".role"), "a string")
	}
	text, err := d.r.Bytes()
	if err != nil {
		return err
	}
	for _, known := range [...]chat.Role{chat.User, chat.Assistant, chat.System, chat.Developer, chat.Tool} {
		if string(text) == string(known) {
			*into = known
			return nil
		}
	}
	*into = chat.Role(text)
	return nil
}

func (d *decoder) checkMessage(n int, m *chat.Message, hasContent, hasOther bool) error {
	missing := func(field, why string) error {
		return fault.Invalidf(place(n, field), "missing_required_parameter", "Missing required parameter: '%s'%s.", place(n, field), why)
	}
	switch m.Role {
	case "":
		return missing(".role", "")
	case chat.User, chat.System, chat.Developer, chat.Tool:
		if !hasContent {
			return missing(".content", "")
		}
	case chat.Assistant:
		if !hasContent && !hasOther && m.Refusal == "" && len(m.ToolCalls) == 0 {
			return missing(".content", " (an assistant message without tool calls needs it)")
		}
	case chat.Function:
		if m.Name == "" {
			return missing(".name", " (a function message needs it)")
		}
	default:
		return fault.Invalidf(place(n, ".role"), "invalid_value",
			"Invalid value for '%s': '%s'. It must be one of developer, system, user, assistant, tool, function.", place(n, ".role"), clip(string(m.Role)))
	}
	if len(m.ToolCalls) > 0 && m.Role != chat.Assistant {
		return fault.Invalidf(place(n, ".tool_calls"), "invalid_value", "Only assistant messages may have tool_calls.")
	}
	for i, p := range m.Parts {
		media := p.Kind != chat.TextPart && p.Kind != chat.RefusalPart
		if (media && m.Role != chat.User) || (p.Kind == chat.RefusalPart && m.Role != chat.Assistant) {
			return fault.Invalidf(fmt.Sprintf("messages[%d].content[%d].type", n, i), "invalid_value",
				"A %s message may not have content of type %s.", m.Role, p.Kind)
		}
	}
	return nil
}

func (d *decoder) content(n int, m *chat.Message) error {
	switch d.r.Kind() {
	case '"':
		s, err := d.r.String()
		m.Parts = []chat.Part{{Kind: chat.TextPart, Text: s}}
		return err
	case '[':
		m.Parts = []chat.Part{}
		return d.r.Array(func(i int) error {
			p, err := d.part(fmt.Sprintf("messages[%d].content[%d]", n, i))
			m.Parts = append(m.Parts, p)
			return err
		})
	default:
		return d.mistyped(place(n, ".content"), "a string or an array of content parts")
	}
}

// part reads a content part; at is its place.
func (d *decoder) part(at string) (p chat.Part, err error) {
	if d.r.Kind() != '{' {
		return p, d.mistyped(at, "an object")
	}
	raw, err := d.r.Value()
	if err != nil {
		return p, err
	}
	var (
		kind    string
		texts   = map[string]string{}
		objects = map[string][]byte{}
		sub     = decoder{r: *jsontext.NewReader(raw), req: d.req}
	)
	err = sub.r.Object(func(name []byte) (err error) {
		key := string(name)
		switch {
		case key == "type":
			return sub.text(at+".type", &kind)
		case (key == "text" || key == "refusal") && sub.r.Kind() == '"':
			texts[key], err = sub.r.String()
		case sub.r.Kind() == '{':
			objects[key], err = sub.r.Value()
		default:
			_, err = sub.r.Value()
		}
		return err
	})
	if err != nil {
		return p, err
	}
	p.Kind = chat.PartKind(kind)
	missing := func(field string) error {
		return fault.Invalidf(at+"."+field, "missing_required_parameter", "Missing required parameter: '%s.%s'.", at, field)
	}
	switch p.Kind {
	case chat.TextPart, chat.RefusalPart:
		text, there := texts[kind]
		if !there {
			return p, missing(kind)
		}
		p.Text = text
		return p, nil
	case chat.ImagePart, chat.AudioPart, chat.FilePart:
		if objects[kind] == nil {
			return p, missing(kind)
		}
		p.JSON = raw
		return p, checkMedia(at+"."+kind, p.Kind, objects[kind])
	case "":
		return p, missing("type")
	default:
		return p, fault.Invalidf(at+".type", "invalid_value", "Invalid value for '%s.type': '%s'. It must be one of text, image_url, input_audio, file, refusal.", at, clip(kind))
	}
}

func (d *decoder) toolCalls(n int, m *chat.Message) error {
	at := place(n, ".tool_calls")
	if d.r.Kind() != '[' {
		return d.mistyped(at, "an array")
	}
	return d.r.Array(func(i int) error {
		at := fmt.Sprintf("%s[%d]", at, i)
		if d.r.Kind() != '{' {
			return d.mistyped(at, "an object")
		}
		var (
			c    chat.ToolCall
			kind string
		)
		call := func(field, input string) error {
			if d.r.Kind() != '{' {
				return d.mistyped(at+"."+field, "an object")
			}
			return d.r.Object(func(name []byte) error {
				switch string(name) {
				case "name":
					return d.text(at+"."+field+".name", &c.Name)
				case input:
					return d.text(at+"."+field+"."+input, &c.Arguments)
				default:
					_, err := d.r.Value()
					return err
				}
			})
		}
		if err := d.r.Object(func(name []byte) error {
			switch string(name) {
			case "id":
				return d.text(at+".id", &c.ID)
			case "type":
				return d.text(at+".type", &kind)
			case "function":
				return call("function", "arguments")
			case "custom":
				return call("custom", "input")
			default:
				_, err := d.r.Value()
				return err
			}
		}); err != nil {
			return err
		}
		c.Custom = kind == "custom"
		if c.ID == "" {
			return fault.Invalidf(at+".id", "missing_required_parameter", "Missing required parameter: '%s.id'.", at)
		}
		if c.Name == "" {
			return fault.Invalidf(at, "missing_required_parameter", "The tool call %s names no function.", at)
		}
		m.ToolCalls = append(m.ToolCalls, c)
		return nil
	})
}
