package completion

import "agentapi/domain/chat"

// Reply is a streaming answer that has begun: its first content event is in
// hand. It is for one goroutine at a time; Close must be called, once, when it
// is not wanted any more, at its end too.
type Reply struct {
	Head
}

// Next returns the next event, or the error that ends the answer. ok is false
// when there is nothing more. Finished means that the turn is stored; every
// choice's Stopped comes right before it, and a Used event has come by then.
// After an error or Finished ok is false. The event's Native is valid until the
// following call.
func (r *Reply) Next() (e chat.Event, err error, ok bool) { return e, err, ok }

// Close ends the answer wherever it is, releases the agent and books what was
// observed.
func (r *Reply) Close() {}
