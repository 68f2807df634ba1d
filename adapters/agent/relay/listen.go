package relay

import (
	"bytes"
	"encoding/json"

	"agentapi/domain/chat"
)

// maxHeard bounds what is kept of one line or of a whole answer to understand it.
const maxHeard = 16 << 20

// listener hears an answer go by: what it used, whether it is complete, whether
// an error came in it.
type listener struct {
	api    API
	events bool // server-sent events; else one JSON text
	line   []byte
	skip   bool // the line is too long to be kept

	used   chat.Usage
	has    bool
	ended  bool
	failed []byte // an object with an error
}

func newListener(api API, events bool) *listener { return &listener{api: api, events: events} }

// Write hears more; it always succeeds.
func (l *listener) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		if !l.events {
			part, after, whole = rest, nil, false
		}
		if len(l.line)+len(part) > maxHeard {
			l.skip = true
		}
		if !l.skip {
			l.line = append(l.line, part...)
		}
		if whole {
			if data, ok := bytes.CutPrefix(l.line, []byte("data:")); ok && !l.skip {
				l.hear(bytes.TrimSpace(data))
			}
			l.line, l.skip = l.line[:0], false
		}
		rest = after
	}
	return len(p), nil
}

// complete tells, at the end of the bytes, whether they were all.
func (l *listener) complete() bool {
	if !l.events {
		return json.Valid(l.line)
	}
	return l.ended
}

func (l *listener) usage() (chat.Usage, bool) {
	if !l.events && l.line != nil {
		l.hear(l.line)
	}
	return l.used, l.has
}

// said is what is read of a chunk, an event or a whole answer of either dialect.
type said struct {
	Type    string // Anthropic's
	Error   json.RawMessage
	Choices []struct {
		FinishReason *string `json:"finish_reason"`
	}
	Usage   *count
	Message struct{ Usage *count }
}

type count struct {
	PromptTokens     *int `json:"prompt_tokens"`
	CompletionTokens int  `json:"completion_tokens"`
	PromptDetails    struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`

	InputTokens  *int `json:"input_tokens"`
	OutputTokens *int `json:"output_tokens"`
	CacheRead    int  `json:"cache_read_input_tokens"`
	CacheWrite   int  `json:"cache_creation_input_tokens"`
}

func (l *listener) hear(data []byte) {
	if string(data) == "[DONE]" {
		l.ended = true
		return
	}
	var s said
	if json.Unmarshal(data, &s) != nil {
		return
	}
	if len(s.Error) > 0 && string(s.Error) != "null" {
		l.failed = bytes.Clone(data)
	}
	l.ended = l.ended || s.Type == "message_stop"
	for _, c := range s.Choices {
		l.ended = l.ended || c.FinishReason != nil
	}
	l.count(s.Message.Usage)
	l.count(s.Usage)
}

// count takes a usage object; a later one replaces what it says.
func (l *listener) count(c *count) {
	switch {
	case c == nil:
	case l.api == OpenAI && c.PromptTokens != nil:
		l.has = true
		l.used = chat.Usage{
			Prompt: *c.PromptTokens, Completion: c.CompletionTokens, Cached: c.PromptDetails.Cached, Reasoning: c.CompletionDetails.Reasoning,
		}
	case l.api == Anthropic:
		// The start of a message has the input, its end the output, and often both.
		if c.InputTokens != nil {
			l.has = true
			l.used.Prompt, l.used.Cached, l.used.CacheWrite = *c.InputTokens+c.CacheRead+c.CacheWrite, c.CacheRead, c.CacheWrite
		}
		if c.OutputTokens != nil {
			l.used.Completion = *c.OutputTokens
		}
	}
}
