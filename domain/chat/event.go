package chat

// EventKind is the sort of an event.
type EventKind uint8

// The events of an answer, in the order in which they may come:
// Started? (Text|Thought|Refused|Called|Used)* Stopped per choice, Used?, Finished.
const (
	Started  EventKind = iota + 1 // the agent is at work; Text is its own session id, if it has sessions
	Text                          // Text is the next piece of the answer
	Thought                       // Text is the next piece of the model's reasoning
	Refused                       // Text is the next piece of a refusal
	Called                        // Call is a piece of a tool call that the client shall run
	Acted                         // Text describes what the agent did with a tool of its own; never shown as a tool call
	Used                          // Usage so far; it replaces what came before
	Stopped                       // the choice is complete, for Reason
	Finished                      // the answer is complete; the last event, always
)

// Content tells whether the event is part of what the client asked for, so that
// an answer has begun once it is seen. Started, Acted and Used are not.
func (k EventKind) Content() bool {
	switch k {
	case Text, Thought, Refused, Called, Stopped, Finished:
		return true
	default:
		return false
	}
}

// FinishReason is why a choice ended, in OpenAI's words.
type FinishReason string

// The reasons there are.
const (
	Stop          FinishReason = "stop"
	Length        FinishReason = "length"
	ToolCalls     FinishReason = "tool_calls"
	ContentFilter FinishReason = "content_filter"
	FunctionCall  FinishReason = "function_call"
)

// Event is one step of an answer. It is a value; Text is owned by the receiver.
//
// An answer from an upstream that already speaks OpenAI's dialect need not be
// taken apart and put together again: its bytes ride along in Native, and a
// writer of that dialect sends them in place of the event's own fields, which
// tell every other reader the same. Native is borrowed: it is valid until the
// next event is asked for, and whoever keeps an event clones it; only that of
// Finished, after which none comes, is the receiver's.
type Event struct {
	Kind   EventKind
	Choice int          // the choice that it belongs to, from 0
	Text   string       // whole UTF-8 runes; see the kinds
	Call   *CallDelta   // of Called
	Usage  *Usage       // of Used
	Reason FinishReason // of Stopped

	// Native is, on the event of a stream, all members of the upstream's chunk
	// but id, object, created, model and usage, separated by commas (such as
	// `"system_fingerprint":"fp","choices":[…]`); on Finished of an answer that
	// came whole, all members of the body but id, object, created and model; on
	// Used, the usage object. It is well-formed and complete: keys that OpenAI's
	// description requires are there.
	Native []byte
	// Held says that the bytes of this event come in the Native of a later one:
	// a chunk or body that holds several events carries them on its last.
	Held bool
	// More says that another content event is already in memory, so that a
	// writer may wait for it before it flushes.
	More bool
}

// CallDelta is a piece of a tool call. The first piece of a call has ID and
// Name; pieces of one call have the same Index, dense from 0 within the choice.
type CallDelta struct {
	Index     int    `json:"index"`
	ID        string `json:"id,omitempty"`
	Custom    bool   `json:"custom,omitempty"`
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments,omitempty"` // the next piece of the arguments
}

// Usage counts tokens. Prompt includes Cached and CacheWrite, Completion
// includes Reasoning. Its JSON is what is stored.
type Usage struct {
	Prompt             int  `json:"prompt"`
	Completion         int  `json:"completion"`
	Cached             int  `json:"cached,omitempty"`
	CacheWrite         int  `json:"cache_write,omitempty"`
	Reasoning          int  `json:"reasoning,omitempty"`
	PromptAudio        int  `json:"prompt_audio,omitempty"`
	CompletionAudio    int  `json:"completion_audio,omitempty"`
	AcceptedPrediction int  `json:"accepted_prediction,omitempty"`
	RejectedPrediction int  `json:"rejected_prediction,omitempty"`
	Estimated          bool `json:"estimated,omitempty"` // counted by us, because the agent did not say
}

// Total is all tokens of the call.
func (u Usage) Total() int { return u.Prompt + u.Completion }
