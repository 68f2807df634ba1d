package kit

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Provider is a model provider of all three shapes that agents call: OpenAI's,
// Anthropic's and Vertex AI's. How it answers is said by the last message's text:
//
//	fail N     an error with status N
//	cut        the answer breaks off in the middle
//	reset      the connection does, before an answer
//	hang       nothing ever comes
//	half       silence after the first piece
//	flood      pieces without end
//	long       a piece of 200 KB
//	use NAME   a call of that tool; what comes after its result is echoed
//	think      reasoning comes first
//
// Anything else is echoed, in pieces.
type Provider struct {
	URL string // the host

	server *httptest.Server
	mu     sync.Mutex
	calls  []Call
	gone   []time.Time
	open   int
	used   Tokens
}

// Call is a request that came.
type Call struct {
	Path   string
	Header http.Header
	Body   string
	Last   string // the text of the last message
	Side   bool   // a call beside the conversation, such as for a title
}

// Tokens is what the provider has counted.
type Tokens struct{ Prompt, Cached, Completion, Reasoning int }

// each is what every answer is counted as.
var each = Tokens{Prompt: 111, Cached: 10, Completion: 22}

// NewProvider starts a provider.
func NewProvider(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	p.URL = p.server.URL
	t.Cleanup(func() {
		p.server.CloseClientConnections()
		p.server.Close()
	})
	return p
}

// Calls gives what came, without the calls beside the conversation.
func (p *Provider) Calls() (out []Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if !c.Side {
			out = append(out, c)
		}
	}
	return out
}

// All gives everything that came.
func (p *Provider) All() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call(nil), p.calls...)
}

// Used is what was counted of all answers that were given whole.
func (p *Provider) Used() Tokens {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// Open is how many calls are under way.
func (p *Provider) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// Gone tells when callers left in the middle.
func (p *Provider) Gone() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Time(nil), p.gone...)
}

// request is what is read of a call in any shape.
type request struct {
	Model    string
	Stream   bool
	System   any
	Messages []struct {
		Role    string
		Content any
	}
	Contents []struct {
		Role  string
		Parts []map[string]any
	}
	Tools []any
	Opts  struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Usage struct{ Include bool }
}

// last is the text of the last message, and whether it is a tool's result.
func (r *request) last() (text string, result bool) {
	if n := len(r.Contents); n > 0 {
		for _, part := range r.Contents[n-1].Parts {
			if s, ok := part["text"].(string); ok {
				text += s
			}
			if f, ok := part["functionResponse"]; ok {
				return fmt.Sprint(f), true
			}
		}
		return text, false
	}
	if len(r.Messages) == 0 {
		return "", false
	}
	m := r.Messages[len(r.Messages)-1]
	if s, ok := m.Content.(string); ok {
		return s, m.Role == "tool"
	}
	parts, _ := m.Content.([]any)
	for _, part := range parts {
		o, _ := part.(map[string]any)
		if s, ok := o["text"].(string); ok && o["type"] == "text" {
			text = s // agents put reminders of their own before it
		}
		if o["type"] == "tool_result" {
			return fmt.Sprint(o["content"]), true
		}
	}
	return text, m.Role == "tool"
}

var failing = regexp.MustCompile(`^fail (\d+)`)

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if r.Method != http.MethodPost || err != nil {
		fmt.Fprint(w, `{"object":"list","data":[]}`)
		return
	}
	var in request
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text, result := in.last()
	side := strings.Contains(fmt.Sprint(in.Messages), "concise session titles")
	p.mu.Lock()
	p.calls = append(p.calls, Call{r.URL.Path + "?" + r.URL.RawQuery, r.Header.Clone(), string(body), text, side})
	p.open++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.open--
		if r.Context().Err() != nil {
			p.gone = append(p.gone, time.Now())
		}
		p.mu.Unlock()
	}()
	var say voice = &openAIVoice{w: w, in: in}
	switch {
	case strings.HasSuffix(r.URL.Path, "/messages"):
		say = &anthropicVoice{w: w, in: in}
	case strings.Contains(r.URL.Path, ":streamGenerateContent"), strings.Contains(r.URL.Path, ":generateContent"):
		say = &vertexVoice{w: w, stream: strings.Contains(r.URL.Path, ":stream")}
	}
	if !side && !result {
		if p.misbehave(w, r, say, text) {
			return
		}
	}
	if name, ok := strings.CutPrefix(text, "use "); ok && !side && !result {
		name, args, _ := strings.Cut(name, " ")
		if args == "" {
			args = "{}"
		}
		say.call(name, args)
		p.count(say, each)
		return
	}
	if side {
		text = "a title"
	}
	if strings.HasPrefix(text, "think") {
		say.think("let me see")
	}
	for _, piece := range strings.SplitAfter(text, " ") {
		say.text(piece)
	}
	p.count(say, each)
}

func (p *Provider) count(v voice, u Tokens) {
	p.mu.Lock()
	p.used.Prompt += u.Prompt
	p.used.Cached += u.Cached
	p.used.Completion += u.Completion
	p.mu.Unlock()
	v.end(u)
}

// misbehave does what the text says; false if it says nothing of the kind.
func (p *Provider) misbehave(w http.ResponseWriter, r *http.Request, say voice, text string) bool {
	if m := failing.FindStringSubmatch(text); m != nil {
		status, _ := strconv.Atoi(m[1]) // the pattern has digits only
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":"the provider says %d","type":"invalid_request_error","param":null,"code":"code_%d"}}`, status, status)
		return true
	}
	word, _, _ := strings.Cut(text, " ")
	switch word {
	case "reset":
		panic(http.ErrAbortHandler)
	case "cut":
		say.text("part")
		panic(http.ErrAbortHandler)
	case "hang":
		<-r.Context().Done()
	case "half":
		say.text("half ")
		<-r.Context().Done()
	case "flood":
		for r.Context().Err() == nil {
			say.text(strings.Repeat("flood ", 1000))
		}
	case "long":
		say.text(Long(200 << 10))
		p.count(say, each)
	default:
		return false
	}
	return true
}

// Long is text of n bytes that does not repeat itself, which agents take for a
// model that runs in circles.
func Long(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%x ", i*i)
	}
	return b.String()[:n]
}

// voice is a shape of answers.
type voice interface {
	text(s string)
	think(s string)
	call(name, arguments string)
	end(u Tokens)
}

func event(w http.ResponseWriter, name string, v any) {
	w.Header().Set("Content-Type", "text/event-stream")
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain maps always encode
	}
	if name != "" {
		fmt.Fprintf(w, "event: %s\n", name)
	}
	fmt.Fprintf(w, "data: %s\n\n", text)
	w.(http.Flusher).Flush()
}

type object = map[string]any

type openAIVoice struct {
	w      http.ResponseWriter
	in     request
	said   string
	called []any
}

func (v *openAIVoice) chunk(delta object, finish any, usage any) {
	c := object{"id": "chatcmpl-p", "object": "chat.completion.chunk", "created": 1, "model": v.in.Model,
		"choices": []any{object{"index": 0, "delta": delta, "finish_reason": finish}}}
	if usage != nil {
		c["usage"] = usage
	}
	event(v.w, "", c)
}

func (v *openAIVoice) text(s string) {
	if v.said += s; v.in.Stream {
		v.chunk(object{"role": "assistant", "content": s}, nil, nil)
	}
}

func (v *openAIVoice) think(s string) {
	if v.in.Stream {
		v.chunk(object{"role": "assistant", "reasoning_content": s}, nil, nil)
	}
}

func (v *openAIVoice) call(name, arguments string) {
	c := object{"index": 0, "id": "call_1", "type": "function", "function": object{"name": name, "arguments": arguments}}
	v.called = append(v.called, c)
	if v.in.Stream {
		v.chunk(object{"role": "assistant", "content": nil, "tool_calls": []any{c}}, nil, nil)
	}
}

func (v *openAIVoice) end(u Tokens) {
	usage := object{"prompt_tokens": u.Prompt, "completion_tokens": u.Completion, "total_tokens": u.Prompt + u.Completion,
		"prompt_tokens_details": object{"cached_tokens": u.Cached}}
	reason := "stop"
	if v.called != nil {
		reason = "tool_calls"
	}
	if v.in.Stream {
		v.chunk(object{}, reason, nil)
		if v.in.Opts.IncludeUsage {
			event(v.w, "", object{"id": "chatcmpl-p", "object": "chat.completion.chunk", "created": 1, "model": v.in.Model, "choices": []any{}, "usage": usage})
		}
		fmt.Fprint(v.w, "data: [DONE]\n\n")
		return
	}
	m := object{"role": "assistant", "content": v.said}
	if v.called != nil {
		m["tool_calls"] = v.called
	}
	v.w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(v.w).Encode(object{"id": "chatcmpl-p", "object": "chat.completion", "created": 1, "model": v.in.Model,
		"choices": []any{object{"index": 0, "message": m, "finish_reason": reason}}, "usage": usage}) // a client that left is counted elsewhere
}

type anthropicVoice struct {
	w      http.ResponseWriter
	in     request
	begun  bool
	blocks []object
	open   bool
	reason string
}

func (v *anthropicVoice) block(start object) {
	if !v.begun {
		v.begun = true
		if v.in.Stream {
			event(v.w, "message_start", object{"type": "message_start", "message": object{"id": "msg_p", "type": "message", "role": "assistant", "content": []any{}, "model": v.in.Model,
				"usage": object{"input_tokens": each.Prompt - each.Cached, "cache_read_input_tokens": each.Cached, "cache_creation_input_tokens": 0, "output_tokens": 1}}})
		}
	}
	if v.open && v.blocks[len(v.blocks)-1]["type"] == start["type"] && start["type"] != "tool_use" {
		return
	}
	v.stop()
	v.blocks = append(v.blocks, start)
	v.open = true
	if v.in.Stream {
		event(v.w, "content_block_start", object{"type": "content_block_start", "index": len(v.blocks) - 1, "content_block": start})
	}
}

func (v *anthropicVoice) stop() {
	if v.open && v.in.Stream {
		event(v.w, "content_block_stop", object{"type": "content_block_stop", "index": len(v.blocks) - 1})
	}
	v.open = false
}

func (v *anthropicVoice) delta(d object) {
	if v.in.Stream {
		event(v.w, "content_block_delta", object{"type": "content_block_delta", "index": len(v.blocks) - 1, "delta": d})
	}
}

func (v *anthropicVoice) text(s string) {
	v.block(object{"type": "text", "text": ""})
	v.blocks[len(v.blocks)-1]["text"] = v.blocks[len(v.blocks)-1]["text"].(string) + s
	v.delta(object{"type": "text_delta", "text": s})
}

func (v *anthropicVoice) think(s string) {
	v.block(object{"type": "thinking", "thinking": ""})
	v.delta(object{"type": "thinking_delta", "thinking": s})
}

func (v *anthropicVoice) call(name, arguments string) {
	v.reason = "tool_use"
	v.block(object{"type": "tool_use", "id": "call_1", "name": name, "input": object{}})
	v.delta(object{"type": "input_json_delta", "partial_json": arguments})
}

func (v *anthropicVoice) end(u Tokens) {
	if v.reason == "" {
		v.reason = "end_turn"
	}
	usage := object{"input_tokens": u.Prompt - u.Cached, "cache_read_input_tokens": u.Cached, "cache_creation_input_tokens": 0, "output_tokens": u.Completion}
	v.stop()
	if v.in.Stream {
		event(v.w, "message_delta", object{"type": "message_delta", "delta": object{"stop_reason": v.reason, "stop_sequence": nil}, "usage": object{"output_tokens": u.Completion}})
		event(v.w, "message_stop", object{"type": "message_stop"})
		return
	}
	v.w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(v.w).Encode(object{"id": "msg_p", "type": "message", "role": "assistant", "model": v.in.Model, "content": v.blocks,
		"stop_reason": v.reason, "stop_sequence": nil, "usage": usage}) // as above
}

type vertexVoice struct {
	w      http.ResponseWriter
	stream bool
	parts  []any
}

func (v *vertexVoice) part(p object) {
	if v.parts = append(v.parts, p); v.stream {
		event(v.w, "", object{"candidates": []any{object{"content": object{"role": "model", "parts": []any{p}}}}, "modelVersion": "gemini"})
	}
}

func (v *vertexVoice) text(s string)  { v.part(object{"text": s}) }
func (v *vertexVoice) think(s string) { v.part(object{"text": s, "thought": true}) }

func (v *vertexVoice) call(name, arguments string) {
	v.part(object{"functionCall": object{"name": name, "args": json.RawMessage(arguments)}, "thoughtSignature": "c2lnbmF0dXJl"})
}

func (v *vertexVoice) end(u Tokens) {
	usage := object{"promptTokenCount": u.Prompt, "candidatesTokenCount": u.Completion - 2, "thoughtsTokenCount": 2, "cachedContentTokenCount": u.Cached, "totalTokenCount": u.Prompt + u.Completion}
	last := object{"candidates": []any{object{"content": object{"role": "model", "parts": []any{object{"text": ""}}}, "finishReason": "STOP"}}, "usageMetadata": usage}
	if v.stream {
		event(v.w, "", last)
		return
	}
	last["candidates"] = []any{object{"content": object{"role": "model", "parts": v.parts}, "finishReason": "STOP"}}
	v.w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(v.w).Encode(last) // as above
}
