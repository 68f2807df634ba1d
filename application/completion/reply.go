package completion

import (
	"context"
	"slices"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// Reply is a streaming answer that has begun: its first content event is in
// hand. It is for one goroutine at a time; Close must be called when it is not
// wanted any more, at its end too.
type Reply struct {
	Head
	seat   *seat   // where the answer is shared; nothing of what follows is set then
	played *player // where it runs on another server; likewise
	run    *run
	ctx    context.Context
	next   func() (chat.Event, error, bool)
	stop   func()

	first    chat.Event
	hasFirst bool
	held     []chat.Event // the choices' ends, kept back until the turn is stored
	tail     []chat.Event // what is left to deliver once it is, or of a replay
	over     bool
}

// Next returns the next event, or the error that ends the answer. ok is false
// when there is nothing more. Finished means that the turn is stored; every
// choice's Stopped comes right before it, and a Used event has come by then.
// After an error or Finished ok is false. The event's Native is valid until the
// following call.
func (r *Reply) Next() (e chat.Event, err error, ok bool) {
	switch {
	case r.seat != nil:
		return r.seat.next()
	case r.played != nil:
		return r.played.next()
	}
	for !r.over {
		if len(r.tail) > 0 {
			e, r.tail = r.tail[0], r.tail[1:]
			if e.Kind == chat.Finished {
				r.finish(nil)
			}
			return e, nil, true
		}
		if e, err = r.pull(); err == nil {
			e, err, ok = r.pass(e)
		}
		if err != nil {
			err = r.run.why(err)
			r.finish(err)
			return chat.Event{}, err, true
		}
		if ok {
			return e, nil, true
		}
	}
	return chat.Event{}, nil, false
}

// pull takes the agent's next event and folds it.
func (r *Reply) pull() (chat.Event, error) {
	if r.hasFirst {
		r.hasFirst = false
		return r.first, nil // folded when it came
	}
	e, err, ok := r.next()
	if !ok {
		return e, r.run.complete()
	}
	if err == nil {
		err = r.run.take(e)
	}
	return e, err
}

// pass decides what becomes of an event: it is delivered, kept back, or, at the
// end, stored and followed by what was kept back.
func (r *Reply) pass(e chat.Event) (chat.Event, error, bool) {
	switch e.Kind {
	case chat.Stopped:
		e.Native = slices.Clone(e.Native)
		r.held = append(r.held, e)
		return e, nil, false
	case chat.Finished:
		r.tail = r.held
		if !r.run.answer.Counted {
			r.tail = append(r.tail, chat.Event{Kind: chat.Used, Usage: &r.run.answer.Usage})
		}
		r.tail = append(r.tail, e)
		if r.run.claim != nil {
			for _, e := range r.tail {
				r.run.record(e)
			}
		}
		return e, r.run.settle(r.ctx), false
	default:
		if r.run.claim != nil {
			r.run.record(e)
		}
		return e, nil, true
	}
}

// Close ends the answer wherever it is, releases the agent and books what was
// observed. It may be called more than once.
func (r *Reply) Close() {
	switch {
	case r.seat != nil:
		r.seat.close()
		return
	case r.played != nil:
		r.played.close()
		return
	case r.over:
	case len(r.tail) > 0:
		r.finish(nil) // the turn is stored
	default:
		r.finish(fault.New(fault.Canceled, "The client left before the answer was complete."))
	}
	if r.stop != nil {
		r.stop()
	}
}

func (r *Reply) finish(err error) {
	r.over = true
	if r.run == nil {
		return // a replay
	}
	if err != nil {
		r.stop() // before what was seen is booked; a complete answer is not held up by its agent's tidying
	}
	r.run.end(r.ctx, err)
}
