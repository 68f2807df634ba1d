package session

import "agentapi/domain/chat"

// Continuation says how a request's messages meet a stored conversation.
type Continuation string

// The ways, as the answer's header names them.
const (
	Fresh   Continuation = "new"     // nothing was stored before
	Resumed Continuation = "resumed" // the stored turns go on
	Forked  Continuation = "forked"  // the client's transcript departs from what is stored
)

// Continue compares the stored turns with the messages of a request.
//
//   - The stored turns are a prefix of the messages: the rest is new.
//   - The messages hold a single one that is not an instruction, and ownKey says
//     that the client named our session id: it is new, after what is stored.
//   - Anything else departs from what is stored.
//
// transcript is what an agent shall answer; fresh is how many of its last
// messages are not stored yet. Instructions (system, developer) are compared
// like any message when the client sends the whole transcript.
func Continue(stored []Turn, msgs []chat.Message, ownKey bool) (how Continuation, transcript []chat.Message, fresh int) {
	if len(stored) == 0 {
		return Fresh, msgs, len(msgs)
	}
	if isPrefix(stored, msgs) {
		return Resumed, msgs, len(msgs) - len(stored)
	}
	spoken := 0
	for i := range msgs {
		if !msgs[i].Role.Instructs() {
			spoken++
		}
	}
	if !ownKey || spoken != 1 {
		return Forked, msgs, len(msgs)
	}
	transcript = make([]chat.Message, 0, len(stored)+len(msgs))
	for i := range stored {
		transcript = append(transcript, stored[i].Message)
	}
	for i := range msgs {
		if msgs[i].Role.Instructs() && holds(stored, &msgs[i]) {
			continue
		}
		transcript = append(transcript, msgs[i])
		fresh++
	}
	return Resumed, transcript, fresh
}

func isPrefix(stored []Turn, msgs []chat.Message) bool {
	if len(stored) >= len(msgs) {
		return false
	}
	for i := range stored {
		if !stored[i].Message.Same(&msgs[i]) {
			return false
		}
	}
	return true
}

func holds(stored []Turn, m *chat.Message) bool {
	for i := range stored {
		if stored[i].Message.Same(m) {
			return true
		}
	}
	return false
}
