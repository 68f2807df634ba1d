package openai

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// stream reads server-sent events and yields what they say.
type stream struct {
	x     *exchange
	in    *bufio.Reader
	yield func(chat.Event, error) bool

	answer answer
	data   []byte // of the event that is being read
	begun  bool   // a line was read
}

// errDone is the end that the upstream announces.
var errDone = errors.New("[DONE]")

// run yields the answer to its end. While a chunk's events are yielded, the next
// one is parsed already if it has come, so that More can be told truly.
func (s *stream) run() error {
	now, next := &parser{answer: &s.answer}, &parser{answer: &s.answer}
	err := s.parse(now)
	for err == nil {
		var nextErr error
		ready := s.ready()
		if ready {
			nextErr = s.parse(next)
		}
		more := ready && nextErr == nil && len(next.events) > 0 && next.events[0].Kind != chat.Stopped
		if !s.say(now, more) {
			return nil
		}
		if !ready {
			nextErr = s.parse(next)
		}
		now, next, err = next, now, nextErr
	}
	return s.end(err)
}

// say yields the events of one chunk; false when the consumer has gone.
func (s *stream) say(p *parser, more bool) bool {
	for i := range p.events {
		e := p.events[i]
		last := i == len(p.events)-1
		if p.keep {
			e.Held = !last
			if last {
				e.Native = p.native
			}
		}
		if last {
			e.More = more
		} else {
			e.More = p.events[i+1].Kind != chat.Stopped
		}
		if !s.yield(e, nil) {
			return false
		}
	}
	return true
}

// ready tells whether the next event is here as a whole, so that reading it does
// not wait: a line with data, and after it an empty one.
func (s *stream) ready() bool {
	buf, err := s.in.Peek(s.in.Buffered())
	if err != nil {
		return false
	}
	has := false
	for {
		line, rest, whole := bytes.Cut(buf, []byte("\n"))
		if !whole {
			return false
		}
		switch data, ok := bytes.CutPrefix(line, []byte("data:")); {
		case ok:
			has = has || len(bytes.TrimSpace(data)) > 0
		case has && len(bytes.TrimRight(line, "\r")) == 0:
			return true
		}
		buf = rest
	}
}

// parse reads the next event into p; errDone at the announced end, io.EOF where
// there is no more.
func (s *stream) parse(p *parser) error {
	p.events = p.events[:0]
	if err := s.event(); err != nil {
		return err
	}
	if string(s.data) == "[DONE]" {
		return errDone
	}
	_, err := p.parse(s.data, false)
	return err
}

// event reads the data of the next event that has any.
func (s *stream) event() error {
	s.data = s.data[:0]
	has := false
	for {
		line, err := s.line()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && len(s.data) > 0 {
			return nil // the last event may lack its empty line
		}
		if err != nil {
			return err
		}
		if len(line) == 0 {
			if len(s.data) > 0 {
				return nil
			}
			has = false
			continue
		}
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue // comments, event names, ids
		}
		data = bytes.TrimPrefix(data, []byte(" "))
		if has {
			s.data = append(s.data, '\n')
		}
		if len(s.data)+len(data) > maxLine {
			return tooMuch()
		}
		s.data = append(s.data, data...)
		has = true
		if string(data) == "[DONE]" {
			return nil
		}
	}
}

// line reads a line without its end. It is valid until the next.
func (s *stream) line() ([]byte, error) {
	line, err := s.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) > maxLine {
				return nil, tooMuch()
			}
			line, err = s.in.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil // the last line may lack its end
	}
	line = bytes.TrimRight(line, "\r\n")
	if !s.begun {
		s.begun = true
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")) // a byte order mark
	}
	return line, err
}

// end closes the answer after err, which may be its announced end.
func (s *stream) end(err error) error {
	done, eof := errors.Is(err, errDone), errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
	complete := s.answer.complete()
	switch {
	case fault.As(err) != nil:
		return err
	case s.x.ctx.Err() != nil:
		return ended(s.x.ctx)
	case !complete && !done && !eof:
		return s.x.broken(err)
	case !complete:
		return truncated(len(s.answer.choices) > 0)
	}
	if s.answer.usage != nil && !s.yield(s.answer.used(), nil) {
		return nil
	}
	s.yield(chat.Event{Kind: chat.Finished}, nil)
	s.rest(done)
	return nil
}

// rest reads the end of the body's coding, so that the connection can be used
// again.
func (s *stream) rest(announced bool) {
	if s.x.head.ContentLength() != -1 {
		return
	}
	if announced {
		if err := s.x.conn.SetReadDeadline(time.Now().Add(restLimit)); err != nil {
			return
		}
		var tail [64]byte // blank lines at most
		n, err := io.ReadFull(s.in, tail[:])
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || len(bytes.TrimSpace(tail[:n])) > 0 {
			return
		}
	}
	s.x.read = s.x.trailer()
}
