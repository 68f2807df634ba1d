package openai

import (
	"crypto/rand"
	"encoding/hex"
	"errors"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

// parse reads one chunk of a stream, or a whole answer, into events. What they
// borrow is valid until the next call.
func (p *parser) parse(text []byte, whole bool) ([]chat.Event, error) {
	err := p.scan(text, whole)
	if syntax, ok := errors.AsType[*jsontext.SyntaxError](err); ok && syntax.Code == "invalid_encoding" {
		if text, err = repaired(text); err == nil {
			err = p.scan(text, whole)
			p.keep = false
		}
	}
	if _, ok := errors.AsType[*jsontext.SyntaxError](err); ok {
		return nil, nonsense(err)
	}
	if err != nil {
		return nil, err
	}
	p.events = p.events[:0]
	for i := range p.pieces {
		if err := p.say(&p.pieces[i], whole); err != nil {
			return nil, err
		}
	}
	// Choices of one chunk end at different times; their bytes cannot be parted.
	p.keep = p.keep && (whole || len(p.pieces) <= 1)
	return p.events, nil
}

func (p *parser) scan(text []byte, whole bool) error {
	p.r.Reset(text)
	p.data, p.native, p.keep, p.pieces = text, p.native[:0], true, p.pieces[:0]
	message := "delta"
	if whole {
		message = "message"
	}
	err := p.top(func() error {
		if p.r.Kind() != '[' {
			return nonsense(errors.New("choices that are no list"))
		}
		if err := p.r.Enter('['); err != nil {
			return err
		}
		p.native = append(p.native, '[')
		for n := 0; ; n++ {
			ok, err := p.r.Element(n == 0)
			if err != nil {
				return err
			}
			if !ok {
				p.native = append(p.native, ']')
				return nil
			}
			if n > 0 {
				p.native = append(p.native, ',')
			}
			if p.r.Kind() != '{' {
				return nonsense(errors.New("a choice that is no object"))
			}
			c, err := p.choiceFields(message, whole)
			if err != nil {
				return err
			}
			p.pieces = append(p.pieces, c)
		}
	})
	if err == nil {
		err = p.r.End()
	}
	return err
}

// say adds the events of one choice's piece.
func (p *parser) say(c *piece, whole bool) error {
	state, err := p.choice(c.index)
	if err != nil {
		return err
	}
	if state.finish != "" {
		return nil // what comes after a choice's end is not part of it
	}
	add := func(e chat.Event) {
		e.Choice = c.index
		p.events = append(p.events, e)
	}
	if c.thought != "" {
		add(chat.Event{Kind: chat.Thought, Text: c.thought})
	}
	if c.refusal != "" {
		add(chat.Event{Kind: chat.Refused, Text: c.refusal})
	}
	if c.text != "" {
		add(chat.Event{Kind: chat.Text, Text: c.text})
	}
	for i := range c.calls {
		p.place(state, &c.calls[i], whole)
		add(chat.Event{Kind: chat.Called, Call: &c.calls[i].CallDelta})
	}
	if c.other && len(c.finish) == 0 && len(p.events) == 0 && !whole {
		add(chat.Event{Kind: chat.Text}) // only its bytes say something
	}
	if len(c.finish) == 0 {
		return nil
	}
	reason := finishReason(c.finish, len(state.calls) > 0)
	if reason == "" {
		return fault.New(fault.Upstream, "The agent's upstream gave up in the middle of its answer.").WithCode("upstream_error").
			WithCause(errors.New("its finish reason is a failure"))
	}
	p.keep = p.keep && string(reason) == string(c.finish)
	state.finish = reason
	add(chat.Event{Kind: chat.Stopped, Reason: reason})
	return nil
}

// place gives a piece of a tool call its index: dense from 0, one for each call,
// whatever the upstream counts. A piece with a new id begins a new call. One
// without belongs to the newest call that the upstream calls by the same index.
// The bytes are passed on only where they say the same.
func (p *parser) place(s *choiceState, c *calledPiece, whole bool) {
	said := c.Index
	at := -1
	for i := len(s.calls) - 1; i >= 0 && at < 0; i-- {
		k := s.calls[i]
		if c.ID != "" && k.id == c.ID || c.ID == "" && c.Name == "" && (k.said == said || said < 0) {
			at = i
		}
	}
	if at < 0 && c.ID == "" && c.Name == "" && len(s.calls) > 0 {
		at = len(s.calls) - 1 // it names no call that there is: the last one goes on
	}
	if c.legacy {
		// The deprecated form has one call, without id or index, and stays as it is.
		said = 0
	}
	if at >= 0 {
		c.Index = at
		p.keep = p.keep && (said == at || whole) && c.ID == ""
		c.ID, c.Name = "", "" // it has begun already
		return
	}
	c.Index = len(s.calls)
	if c.ID == "" {
		var b [12]byte
		rand.Read(b[:])
		c.ID = "call_" + hex.EncodeToString(b[:])
		p.keep = p.keep && c.legacy
	}
	p.keep = p.keep && (said == c.Index || whole) && (c.complete || c.legacy)
	s.calls = append(s.calls, call{c.ID, said})
}
