package openai

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

const chatPath = "/chat/completions"

// ask sends the task and gives the exchange once the upstream has agreed to answer.
func (a *Agent) ask(ctx context.Context, task agent.Task) (*exchange, error) {
	if len(task.Request.Raw) == 0 {
		return nil, fault.Internalf("a request without its text cannot be passed on")
	}
	x, err := a.send(ctx, http.MethodPost, chatPath, func(b []byte) []byte { return appendBody(b, task) })
	if err != nil {
		return nil, err
	}
	if x.head.StatusCode() != http.StatusOK {
		defer x.end()
		return nil, a.refusal(x)
	}
	return x, nil
}

// whole answers a task that is not streamed.
func (a *Agent) whole(ctx context.Context, task agent.Task) ports.Events {
	return func(yield func(chat.Event, error) bool) {
		x, err := a.ask(ctx, task)
		if err != nil {
			yield(chat.Event{}, err)
			return
		}
		space := buffers.Get().(*[]byte)
		defer giveBack(space)
		*space, err = x.all((*space)[:0], maxBody)
		x.end() // all is read: the connection serves others from here on
		if err != nil {
			yield(chat.Event{}, err)
			return
		}
		a.sayWhole(*space, true, yield)
	}
}

// spare is more than is added to most answers.
const spare = 64

// desk is what a whole answer is taken apart on: room for one choice that says one thing.
// What is more finds its own.
type desk struct {
	parser  parser
	answer  answer
	choices [1]choiceState
	pieces  [1]piece
	events  [2]chat.Event
	adds    [2]insert
}

var desks = sync.Pool{New: func() any { return new(desk) }}

// sayWhole gives the events of a whole answer. native says that its bytes may be
// passed on.
func (a *Agent) sayWhole(body []byte, native bool, yield func(chat.Event, error) bool) {
	d := desks.Get().(*desk)
	defer func() {
		*d = desk{} // nothing of the answer stays
		desks.Put(d)
	}()
	p := &d.parser
	p.answer = &d.answer
	p.hide, p.choices = a.hide, d.choices[:0]
	p.pieces, p.events, p.adds, p.native = d.pieces[:0], d.events[:0], d.adds[:0], make([]byte, 0, len(body)+spare)
	events, err := p.parse(body, true)
	if err == nil && !p.complete() {
		err = truncated(len(p.choices) > 0)
	}
	if err != nil {
		yield(chat.Event{}, err)
		return
	}
	keep := native && p.keep && p.rawUse != nil
	for _, e := range events {
		e.Held = keep
		if !yield(e, nil) {
			return
		}
	}
	if p.usage != nil {
		used := p.used()
		if used.Held = keep; keep {
			used.Native = nil
		}
		if !yield(used, nil) {
			return
		}
	}
	end := chat.Event{Kind: chat.Finished}
	if keep {
		p.member("usage")
		end.Native = append(p.native, p.rawUse...)
	}
	yield(end, nil)
}

// truncated is the fault of an answer without its end.
func truncated(begun bool) error {
	if !begun {
		return fault.New(fault.Upstream, "The agent's upstream gave an empty answer.").WithCode("upstream_error")
	}
	return fault.New(fault.Upstream, "The agent's upstream ended its answer without a finish reason.").WithCode("stream_truncated")
}

// stream answers a task as the upstream does, piece by piece.
func (a *Agent) stream(ctx context.Context, task agent.Task) ports.Events {
	return func(yield func(chat.Event, error) bool) {
		x, err := a.ask(ctx, task)
		if err != nil {
			yield(chat.Event{}, err)
			return
		}
		defer x.end()
		if !strings.HasPrefix(string(x.head.ContentType()), "text/event-stream") && bytes.HasPrefix(x.head.ContentType(), []byte("application/json")) {
			body, err := x.all(nil, maxBody)
			if err != nil {
				yield(chat.Event{}, err)
				return
			}
			a.sayWhole(body, false, yield) // an upstream that does not stream
			return
		}
		in := lines.Get().(*bufio.Reader)
		in.Reset(x.body)
		defer func() {
			in.Reset(nil)
			lines.Put(in)
		}()
		s := stream{x: x, in: in, yield: yield, answer: answer{hide: a.hide}}
		if err := s.run(); err != nil {
			yield(chat.Event{}, err)
		}
	}
}
