// Package agent is about what answers: agents, their models and abilities, and
// the way a request finds one.
package agent

import (
	"regexp"
	"strings"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Name is an agent's name in the configuration.
type Name string

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// ParseName checks an agent's name. Dots and slashes are left to model ids.
func ParseName(s string) (Name, error) {
	if !nameForm.MatchString(s) {
		return "", fault.Invalidf("", "invalid_value", "%q is not an agent name: use lower-case letters, digits and hyphens.", s)
	}
	return Name(s), nil
}

// Capabilities says what an agent can honour, whatever the model.
type Capabilities struct {
	Raw       bool // it speaks OpenAI's dialect: Request.Raw is passed on, unknown members included
	Tools     bool // it can be offered the client's tools
	Choices   bool // it serves n > 1
	Media     bool // it takes content parts other than text
	Schema    bool // it honours response_format
	MaxTokens bool // it honours max_tokens and stop
	Program   bool // a program runs for each of its answers
	// Sampling names the parameters of temperature's kind that it honours,
	// separated by spaces.
	Sampling string
}

// Model is one model of an agent. ID may end in "*": it stands for all ids with
// that prefix, is matched and not listed.
type Model struct {
	ID      string
	Created time.Time
	OwnedBy string
	Context int // tokens of the prompt and the answer together; 0: not known
	Output  int // tokens of an answer at most; 0: not known
}

// Wildcard tells whether the id is a prefix.
func (m Model) Wildcard() bool { return strings.HasSuffix(m.ID, "*") }

// Serves tells whether the model answers to id.
func (m Model) Serves(id string) bool {
	if prefix, ok := strings.CutSuffix(m.ID, "*"); ok {
		return strings.HasPrefix(id, prefix)
	}
	return m.ID == id
}

// Task is one piece of work for an agent.
type Task struct {
	Model   string // the agent's own id of the model
	Request *chat.Request
	// Messages is the transcript to answer. It is Request.Messages, unless the
	// conversation was stored here and the client sent only what is new: then
	// Extended is set and Request.Raw holds less than Messages.
	Messages []chat.Message
	Extended bool
	Session  Session
	Caller   tenancy.Scope // whose process or cache the work may share
}

// Session ties a task to a conversation.
type Session struct {
	ID     string // ours
	Native string // the agent's own, from its Started event of an earlier turn; empty at first
	New    int    // how many of the last Messages the agent has not seen in its native session
}
