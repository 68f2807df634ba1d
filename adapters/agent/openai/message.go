package openai

import (
	"errors"
	"strconv"
	"strings"

	"agentapi/domain/chat"
)

// piece is what one choice of a chunk, or of a whole answer, says.
type piece struct {
	index   int
	text    string
	thought string
	refusal string
	calls   []calledPiece
	finish  []byte
	other   bool // it has members that only the bytes can tell
}

// calledPiece is a piece of a tool call and what is to be known of its bytes.
type calledPiece struct {
	chat.CallDelta
	complete bool // it has all members that the first piece of a call must have
	legacy   bool // it came as function_call
}

// choiceFields reads one choice and keeps its bytes, patched where they must be.
// message is the name of the member that holds the message: delta or message.
func (p *parser) choiceFields(message string, whole bool) (out piece, err error) {
	var (
		start       = p.r.Offset()
		hasFinish   bool
		hasLogprobs bool
		hasIndex    bool
		hasMessage  bool
		members     int
	)
	p.cuts, p.adds = p.cuts[:0], p.adds[:0]
	if err := p.r.Enter('{'); err != nil {
		return out, err
	}
	for first := true; ; first = false {
		name, ok, err := p.r.Member(first)
		if err != nil {
			return out, err
		}
		if !ok {
			break
		}
		members++
		switch string(name) {
		case "index":
			text, err := p.r.Value()
			if err != nil {
				return out, err
			}
			if hasIndex = text[0] != 'n'; !hasIndex {
				continue
			}
			if out.index, err = strconv.Atoi(string(text)); err != nil {
				return out, nonsense(err)
			}
		case message:
			if p.r.Kind() != '{' {
				if _, err := p.r.Value(); err != nil {
					return out, err
				}
				continue
			}
			hasMessage = true
			if err := p.messageFields(&out, whole); err != nil {
				return out, err
			}
		case "finish_reason":
			hasFinish = true
			if p.r.Kind() != '"' {
				if _, err := p.r.Value(); err != nil {
					return out, err
				}
				continue
			}
			if out.finish, err = p.r.Bytes(); err != nil {
				return out, err
			}
			p.keep = p.keep && len(out.finish) > 0
		case "logprobs":
			hasLogprobs = true
			raw, err := p.r.Value()
			if err != nil {
				return out, err
			}
			out.other = out.other || raw[0] != 'n'
		default:
			if _, err := p.r.Value(); err != nil {
				return out, err
			}
		}
	}
	end := p.r.Offset()
	tail := ""
	if !hasFinish {
		tail += `,"finish_reason":null`
	}
	if whole && !hasLogprobs {
		tail += `,"logprobs":null`
	}
	if members == 0 && tail != "" {
		tail = tail[1:]
	}
	p.adds = append(p.adds, insert{end - 1, tail})
	p.keep = p.keep && hasIndex && hasMessage
	p.copy(start, end)
	return out, nil
}

type span struct{ from, to int }

type insert struct {
	at   int
	text string
}

// copy appends a part of the text, without the cuts and with the inserts, both of
// which come in order.
func (p *parser) copy(from, to int) {
	for cuts, adds := p.cuts, p.adds; from < to; {
		switch {
		case len(cuts) > 0 && (len(adds) == 0 || cuts[0].from <= adds[0].at):
			p.native = append(p.native, p.data[from:cuts[0].from]...)
			from, cuts = cuts[0].to, cuts[1:]
		case len(adds) > 0:
			p.native = append(p.native, p.data[from:adds[0].at]...)
			p.native = append(p.native, adds[0].text...)
			from, adds = adds[0].at, adds[1:]
		default:
			p.native = append(p.native, p.data[from:to]...)
			from = to
		}
	}
}

// messageFields reads a delta or a message.
func (p *parser) messageFields(out *piece, whole bool) error {
	if err := p.r.Enter('{'); err != nil {
		return err
	}
	var hasContent, hasRefusal, hasRole, kept bool
	cut := func(before int) { p.cuts = append(p.cuts, p.memberSpan(before, kept)) }
	for first := true; ; first = false {
		before := p.r.Offset()
		name, ok, err := p.r.Member(first)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		key := fieldOf(name)
		isText := p.r.Kind() == '"'
		switch key {
		case fieldRole:
			if _, err := p.r.Value(); err != nil {
				return err
			}
			hasRole = isText
			if !whole {
				cut(before)
				continue
			}
		case fieldContent, fieldRefusal, fieldThought:
			hasContent = hasContent || key == fieldContent
			hasRefusal = hasRefusal || key == fieldRefusal
			if !isText {
				raw, err := p.r.Value()
				if err != nil {
					return err
				}
				out.other = out.other || raw[0] != 'n'
				break
			}
			text, err := p.r.String()
			if err != nil {
				return err
			}
			switch key {
			case fieldContent:
				out.text = text
			case fieldRefusal:
				out.refusal = text
			default:
				if out.thought != text { // some servers say it under both names
					out.thought += text
				}
			}
		case fieldCalls:
			n, err := p.toolCalls(out)
			if err != nil {
				return err
			}
			if n == 0 {
				cut(before)
				continue
			}
		case fieldFunction:
			if p.r.Kind() != '{' {
				if _, err := p.r.Value(); err != nil {
					return err
				}
				break
			}
			c := calledPiece{legacy: true}
			if _, err := p.function(&c.CallDelta); err != nil {
				return err
			}
			out.calls = append(out.calls, c)
		default:
			raw, err := p.r.Value()
			if err != nil {
				return err
			}
			out.other = out.other || (raw[0] != 'n' && string(raw) != "[]" && string(raw) != "{}")
		}
		kept = true
	}
	if whole {
		p.keep = p.keep && hasRole
		tail := ""
		if !hasContent {
			tail += `,"content":null`
		}
		if !hasRefusal {
			tail += `,"refusal":null`
		}
		if !kept && tail != "" {
			tail = tail[1:]
		}
		p.adds = append(p.adds, insert{p.r.Offset() - 1, tail})
	}
	return nil
}

// The members of a message that mean something here.
const (
	fieldOther = iota
	fieldRole
	fieldContent
	fieldRefusal
	fieldThought
	fieldCalls
	fieldFunction
)

func fieldOf(name []byte) int {
	switch string(name) {
	case "role":
		return fieldRole
	case "content":
		return fieldContent
	case "refusal":
		return fieldRefusal
	case "reasoning_content", "reasoning":
		return fieldThought
	case "tool_calls":
		return fieldCalls
	case "function_call":
		return fieldFunction
	default:
		return fieldOther
	}
}

// memberSpan is the place of the member that was just read, with one of the
// commas around it. before is where the reader stood before the member; kept
// tells that a member before it stays.
func (p *parser) memberSpan(before int, kept bool) span {
	s := span{before, p.r.Offset()}
	if kept {
		return s // the comma before it goes
	}
	if n := len(p.cuts); n > 0 {
		s.from = max(s.from, p.cuts[n-1].to)
	}
	for s.to < len(p.data) && strings.IndexByte(" \t\r\n", p.data[s.to]) >= 0 {
		s.to++
	}
	if s.to < len(p.data) && p.data[s.to] == ',' {
		s.to++
	}
	return s
}

// toolCalls reads a list of tool calls or their pieces and returns how many.
func (p *parser) toolCalls(out *piece) (n int, err error) {
	if p.r.Kind() != '[' {
		raw, err := p.r.Value()
		if err == nil && raw[0] != 'n' {
			p.keep = false
		}
		return 0, err
	}
	if err := p.r.Enter('['); err != nil {
		return 0, err
	}
	for {
		ok, err := p.r.Element(n == 0)
		if !ok {
			return n, err
		}
		c := calledPiece{CallDelta: chat.CallDelta{Index: -1}}
		if err := p.call(&c); err != nil {
			return n, err
		}
		out.calls = append(out.calls, c)
		n++
	}
}

func (p *parser) call(c *calledPiece) error {
	if p.r.Kind() != '{' {
		return nonsense(errors.New("a tool call that is no object"))
	}
	var hasType, hasInput bool
	err := p.fields(func(name []byte) error {
		switch string(name) {
		case "index":
			text, err := p.r.Value()
			if err != nil {
				return err
			}
			if n, err := strconv.Atoi(string(text)); err == nil {
				c.Index = n
			}
			return nil
		case "id":
			if p.r.Kind() == '"' {
				return read(&p.r, &c.ID)
			}
		case "type":
			if p.r.Kind() == '"' {
				var kind string
				err := read(&p.r, &kind)
				c.Custom, hasType = kind == "custom", true
				return err
			}
		case "function", "custom":
			if p.r.Kind() == '{' {
				var err error
				hasInput, err = p.function(&c.CallDelta)
				return err
			}
		}
		_, err := p.r.Value()
		return err
	})
	c.complete = hasType && hasInput && c.ID != "" && c.Name != ""
	return err
}

// function reads the name and arguments of a call. Arguments that are not a
// string, as some servers send them, become one. hasInput tells that they are there.
func (p *parser) function(c *chat.CallDelta) (hasInput bool, err error) {
	err = p.fields(func(name []byte) error {
		switch string(name) {
		case "name":
			if p.r.Kind() == '"' {
				return read(&p.r, &c.Name)
			}
		case "arguments", "input":
			if hasInput = p.r.Kind() == '"'; hasInput {
				return read(&p.r, &c.Arguments)
			}
			raw, err := p.r.Value()
			if err == nil && raw[0] != 'n' {
				c.Arguments, p.keep = string(raw), false
			}
			return err
		}
		_, err := p.r.Value()
		return err
	})
	return hasInput, err
}

func (p *parser) fields(each func(name []byte) error) error {
	if err := p.r.Enter('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		name, ok, err := p.r.Member(first)
		if !ok {
			return err
		}
		if err := each(name); err != nil {
			return err
		}
	}
}
