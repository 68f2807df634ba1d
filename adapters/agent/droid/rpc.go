package droid

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"

	"agentapi/adapters/agent/process"
	"agentapi/domain/fault"
)

// envelope is what every line is, in both directions.
type envelope struct {
	JSONRPC string          `json:"jsonrpc"`
	API     string          `json:"factoryApiVersion"`
	Type    string          `json:"type"` // request, response or notification
	ID      string          `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// notFound is the code for a session that droid does not know.
const notFound = -32004

// note is a notification about the session.
type note struct {
	Type       string
	MessageID  string
	TextDelta  string
	Text       string // of a thinking delta, in some versions
	Reason     string
	Message    json.RawMessage
	ToolUse    struct{ Name string }
	TokenUsage tokens
}

type tokens struct {
	InputTokens, OutputTokens, CacheCreationTokens, CacheReadTokens, ThinkingTokens int
}

func line(e envelope) []byte {
	e.JSONRPC, e.API = "2.0", "1.0.0"
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and valid JSON always encode
	}
	return append(text, '\n')
}

func params(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // as above
	}
	return text
}

// dialogue matches responses to requests.
type dialogue struct {
	mu      sync.Mutex
	last    int
	waiting map[string]chan envelope
}

// ask gives a request's line and where its response comes.
func (d *dialogue) ask(method string, p any) ([]byte, chan envelope) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = make(map[string]chan envelope)
	}
	d.last++
	id, c := strconv.Itoa(d.last), make(chan envelope, 1)
	d.waiting[id] = c
	return line(envelope{Type: "request", ID: id, Method: method, Params: params(p)}), c
}

// answer hands a response to who waits for it.
func (d *dialogue) answer(e envelope) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.waiting[e.ID]; c != nil {
		c <- e
		delete(d.waiting, e.ID)
	}
}

// fault makes a fault of an error response.
func (e *rpcError) fault() error {
	if e.Code == notFound {
		return fault.Wrap(fault.NotFound, errors.New(e.Message), "The agent does not know its session any more.")
	}
	return process.Garbled(errors.New(strconv.Itoa(e.Code) + " " + e.Message))
}
