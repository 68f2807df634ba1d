package chat

import (
	"encoding/json"
	"fmt"

	"agentapi/domain/fault"
)

// The bounds of a request.
const (
	MaxMessages  = 10_000
	MaxChoices   = 128
	MaxStops     = 4
	MaxMaxTokens = 1 << 31 // more cannot be meant, and sums of them must not overflow
	MaxMetadata  = 16
	MaxTools     = 1024
)

// Request is a chat completion as a client asked for it, decoded and detached
// from its transport.
type Request struct {
	Model    string // as asked for: an alias, a bare id, or agent/model
	Messages []Message

	Stream       bool
	IncludeUsage bool // the stream's last chunk reports usage

	N              int      // choices; 1 when absent
	MaxTokens      int      // of the answer; 0: not limited by the client
	Stop           []string // the answer ends before any of these
	Tools          []ToolSpec
	ToolChoice     json.RawMessage // as it came; nil when absent
	Format         Format
	Functions      bool // the deprecated functions were used, so the answer has the old shape
	Store          bool
	Metadata       map[string]string
	PromptCacheKey string

	// Params names the known sampling parameters that were given with a value
	// (temperature, top_p, seed, …), so that an agent which cannot honour them
	// can be said to have ignored them.
	Params []string
	// Special names the known parameters that change the form of the answer in
	// a way that only an agent which takes raw requests can honour (logprobs,
	// audio, …).
	Special []string
	// Unknown names the members that this server does not know. They are passed
	// on to agents that take raw requests and refused for all others.
	Unknown []string
	// Raw is the request body as it came: one well-formed JSON object without
	// duplicate keys. Agents that speak the same dialect pass it on, changed
	// only where it must be.
	Raw []byte
	// Placed says that Places are known; they are looked for otherwise.
	Placed bool
	Places Places
}

// Places are where in Raw the values stand that agents change.
type Places struct{ Model, Messages, StreamOptions Place }

// Place is a part of a text; the zero Place is not there.
type Place struct{ From, To int }

// ToolSpec is a tool that the client offers and will run itself.
type ToolSpec struct {
	Custom      bool
	Name        string
	Description string
	Parameters  json.RawMessage // JSON schema; nil when absent
	Strict      bool
}

// Format is the form that the answer shall have.
type Format struct {
	Kind   FormatKind
	Name   string          // of JSONSchema
	Schema json.RawMessage // of JSONSchema
	Strict bool
}

// FormatKind is the sort of a response format.
type FormatKind string

// The formats there are; the empty kind means text.
const (
	PlainText  FormatKind = "text"
	JSONObject FormatKind = "json_object"
	JSONSchema FormatKind = "json_schema"
)

// Validate checks bounds, which the fields' types cannot say. The errors are fault.Invalid with the place in Param.
func (r *Request) Validate() error {
	if r.Model == "" {
		return fault.Invalidf("model", "missing_required_parameter", "You must provide a model parameter.")
	}
	if len(r.Messages) == 0 {
		return fault.Invalidf("messages", "missing_required_parameter", "messages must hold at least one message.")
	}
	if len(r.Messages) > MaxMessages {
		return fault.Invalidf("messages", "array_too_long", "messages may hold at most %d messages; this request has %d.", MaxMessages, len(r.Messages))
	}
	if r.N < 1 || r.N > MaxChoices {
		return fault.Invalidf("n", "out_of_range", "n must be between 1 and %d.", MaxChoices)
	}
	if r.MaxTokens < 0 || r.MaxTokens > MaxMaxTokens {
		return fault.Invalidf("max_tokens", "out_of_range", "max_tokens must be between 1 and %d.", MaxMaxTokens)
	}
	return nil
}

// CheckOrder holds that each tool message answers a call of the assistant message
// before it, and that no call is left open when the conversation goes on. The
// first known of the messages are ours; errors are fault.Invalid and count the
// client's.
func CheckOrder(msgs []Message, known int) error {
	var pending map[string]bool
	for i := range msgs {
		m := &msgs[i]
		at := func(field string) string { return fmt.Sprintf("messages[%d]%s", max(0, i-known), field) }
		switch m.Role {
		case Tool:
			if m.ToolCallID == "" {
				return fault.Invalidf(at(".tool_call_id"), "missing_required_parameter", "A tool message needs the tool_call_id of the call that it answers.")
			}
			open, known := pending[m.ToolCallID]
			if !known {
				return fault.Invalidf(at(".tool_call_id"), "invalid_value", "A tool message must answer a tool call of the assistant message before it; no such call has the id %q.", m.ToolCallID)
			}
			if !open {
				return fault.Invalidf(at(".tool_call_id"), "invalid_value", "The tool call %q was answered already.", m.ToolCallID)
			}
			pending[m.ToolCallID] = false
		case Function:
		default:
			for id, open := range pending {
				if open {
					return fault.Invalidf(at(""), "invalid_value", "Every tool call must be answered before the conversation goes on; the call %q was not.", id)
				}
			}
			pending = nil
			if len(m.ToolCalls) > 0 {
				pending = make(map[string]bool, len(m.ToolCalls))
				for _, c := range m.ToolCalls {
					pending[c.ID] = true
				}
			}
		}
	}
	for id, open := range pending {
		if open {
			return fault.Invalidf("messages", "invalid_value", "Every tool call must be answered before the conversation goes on; the call %q was not.", id)
		}
	}
	return nil
}

// LastUser gives the text of the last user message, or "".
func (r *Request) LastUser() string {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].Role == User {
			return r.Messages[i].Text()
		}
	}
	return ""
}
