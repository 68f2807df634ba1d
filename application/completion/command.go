// Package completion gives answers: it finds an agent, falls back to the next
// while nothing was delivered, stores what was said before it says that it is
// done, and gives a repeated request its first answer again.
package completion

import (
	"context"
	"time"

	"agentapi/application/limits"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/idempotency"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// Command is one request for a completion, decoded and detached from its transport.
type Command struct {
	Caller    tenancy.Principal
	Request   *chat.Request
	RequestID string // ours; req_…
	// Conversation ties the request to a stored session; the zero value opens a
	// new one.
	Conversation Conversation
	// Key is the client's Idempotency-Key, empty for none, and Route what it
	// was used on, such as "POST /v1/chat/completions".
	Key   string
	Route string
	// Attempt says which of an SDK's attempts at the request this is, from 1 on; 0:
	// the client does not say.
	Attempt int
	// Resume is the id of the answer that the client has a part of already, and wants
	// no other than; empty: it has none.
	Resume string
	// Stop ends the context of a request for a whole answer before its time, where an
	// administrator wants that; nil: the request is given one that can be ended.
	Stop context.CancelCauseFunc
	// Standing is told how the caller stands with regard to the limits, before the
	// answer begins or fails, where there are any; nil: nobody asks.
	Standing func(limits.Standings)
}

// fingerprint tells requests apart that come with one key: by what they ask, in
// whatever order its members stand, and the conversation that they belong to.
func (c *Command) fingerprint() [32]byte {
	return idempotency.Fingerprint(c.Request.Raw, c.Conversation.ID.String(), c.Conversation.Key.Source, c.Conversation.Key.Value)
}

// Conversation names a session by its own id or by a key of the client's; at
// most one of the two is set.
type Conversation struct {
	ID  session.ID
	Key session.Key
}

// Head is what is known of an answer once it has begun.
type Head struct {
	ID       string    // chatcmpl-…
	Created  time.Time // to the second
	Model    string    // as asked for
	Agent    agent.Name
	Served   string // the agent's id of the model
	Attempts int    // candidates tried, from 1
	Route    string // how the model was resolved: alias, default or agent
	Session  session.ID
	How      session.Continuation
	Ignored  []string // parameters that the agent does not honour
	Replayed bool     // an earlier request with the same Idempotency-Key gave this answer
}

// Whole is an answer that is complete and stored.
type Whole struct {
	Head
	Completion chat.Completion // Native, where set, is owned
}
