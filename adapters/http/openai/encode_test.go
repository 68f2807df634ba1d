package openai

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"agentapi/application/completion"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

var head = completion.Head{ID: "chatcmpl-1", Created: time.Unix(1700000000, 0), Model: `m"<é>`}

// What encoding/json makes of a chunk, to compare with.
type chunk struct {
	ID      string        `json:"id"`
	Object  string        `json:"object"`
	Created int64         `json:"created"`
	Model   string        `json:"model"`
	Choices []chunkChoice `json:"choices"`
}

type chunkChoice struct {
	Index    int     `json:"index"`
	Delta    any     `json:"delta"`
	Logprobs *string `json:"logprobs"`
	Finish   *string `json:"finish_reason"`
}

func reference(t *testing.T, choice int, delta any, finish *string) string {
	t.Helper()
	text, err := json.Marshal(chunk{head.ID, "chat.completion.chunk", head.Created.Unix(), head.Model, []chunkChoice{{choice, delta, nil, finish}}})
	if err != nil {
		t.Fatal(err)
	}
	return "data: " + string(text) + "\n\n"
}

type roleDelta struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"`
}

type textDelta struct {
	Content string `json:"content"`
}

func FuzzChunk(f *testing.F) {
	for _, s := range []string{"hello", "", "\x00\"\\<>&\u2028é😀\xff", "data: [DONE]\n\n"} {
		f.Add(s, uint8(0))
	}
	f.Fuzz(func(t *testing.T, text string, choice uint8) {
		index := int(choice) % chat.MaxChoices
		e := newEncoder(&head, &chat.Request{}, "req_1")
		first := reference(t, index, roleDelta{"assistant", "", nil}, nil)
		got := string(e.event(nil, &chat.Event{Kind: chat.Text, Choice: index, Text: text}))
		if want := first + reference(t, index, textDelta{text}, nil); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		stop := "stop"
		got = string(e.event(nil, &chat.Event{Kind: chat.Stopped, Choice: index, Reason: chat.Stop}))
		if want := reference(t, index, struct{}{}, &stop); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// encode renders a whole stream.
func encode(r *chat.Request, events ...chat.Event) string {
	e := newEncoder(&head, r, "req_1")
	var b []byte
	for i := range events {
		b = e.event(b, &events[i])
	}
	return strings.ReplaceAll(string(b), `"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m\"\u003cé\u003e",`, "")
}

const role = `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]`

func TestWhatStreamsLookLike(t *testing.T) {
	stop, done := chat.Event{Kind: chat.Stopped, Reason: chat.Stop}, chat.Event{Kind: chat.Finished}
	end := `data: {"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]`
	call := &chat.CallDelta{ID: "c", Name: "f", Arguments: "{"}
	for name, c := range map[string]struct {
		r      chat.Request
		events []chat.Event
		want   string
	}{
		"text": {chat.Request{}, []chat.Event{{Kind: chat.Started}, {Kind: chat.Text, Text: "a"}, {Kind: chat.Used, Usage: &chat.Usage{}}, stop, done},
			role + "}\n\n" + `data: {"choices":[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}]}` + "\n\n" + end + "}\n\ndata: [DONE]\n\n"},
		"usage is reported": {chat.Request{IncludeUsage: true}, []chat.Event{stop, {Kind: chat.Used, Usage: &chat.Usage{}, Native: []byte(`{"prompt_tokens":1}`)}, done},
			role + ",\"usage\":null}\n\n" + end + ",\"usage\":null}\n\n" + `data: {"choices":[],"usage":{"prompt_tokens":1}}` + "\n\ndata: [DONE]\n\n"},
		"bytes of the upstream": {chat.Request{}, []chat.Event{{Kind: chat.Text, Text: "a", Held: true}, {Kind: chat.Stopped, Native: []byte(`"choices":[1]`)}, done},
			role + "}\n\n" + `data: {"choices":[1]}` + "\n\ndata: [DONE]\n\n"},
		"a tool call": {chat.Request{}, []chat.Event{{Kind: chat.Called, Call: call}, {Kind: chat.Called, Call: &chat.CallDelta{Arguments: "}"}}},
			role + "}\n\n" + `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"{"}}]},"logprobs":null,"finish_reason":null}]}` + "\n\n" +
				`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]},"logprobs":null,"finish_reason":null}]}` + "\n\n"},
		"the deprecated shape": {chat.Request{Functions: true}, []chat.Event{{Kind: chat.Called, Call: call}, {Kind: chat.Stopped, Reason: chat.ToolCalls}},
			role + "}\n\n" + `data: {"choices":[{"index":0,"delta":{"function_call":{"name":"f","arguments":"{"}},"logprobs":null,"finish_reason":null}]}` + "\n\n" +
				`data: {"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"function_call"}]}` + "\n\n"},
		"an agent's own tools and thoughts stay unseen": {chat.Request{}, []chat.Event{{Kind: chat.Acted, Text: "ls"}, {Kind: chat.Thought, Text: "hm"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := encode(&c.r, c.events...); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAnErrorInAStreamIsItsLastEvent(t *testing.T) {
	e := newEncoder(&head, &chat.Request{}, "req_1")
	got := string(e.fail(nil, fault.Wrap(fault.Upstream, errors.New("secret"), "It broke.").WithCode("upstream_error")))
	if want := `data: {"error":{"message":"It broke.","type":"server_error","param":null,"code":"upstream_error","request_id":"req_1"}}` + "\n\n"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestAWholeAnswerHasAllRequiredKeys(t *testing.T) {
	w := &completion.Whole{Head: head, Completion: chat.Completion{Usage: chat.Usage{Prompt: 3, Completion: 2, Cached: 1}, Choices: []chat.Choice{
		{Message: chat.NewMessage(chat.Assistant, "a"), Finish: chat.Stop},
		{Message: chat.Message{Role: chat.Assistant, ToolCalls: []chat.ToolCall{{ID: "c", Name: "f", Arguments: "{}"}, {ID: "d", Custom: true, Name: "g", Arguments: "x"}}}, Finish: chat.ToolCalls},
		{Message: chat.Message{Role: chat.Assistant, Refusal: "no"}, Finish: chat.Stop},
	}}}
	var got struct {
		Object  string
		Choices []map[string]any
		Usage   map[string]any
	}
	text := appendWhole(nil, w, false)
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	for i, c := range got.Choices {
		m := c["message"].(map[string]any)
		for _, key := range []string{"index", "message", "logprobs", "finish_reason"} {
			if _, ok := c[key]; !ok {
				t.Errorf("choice %d lacks %s", i, key)
			}
		}
		for _, key := range []string{"role", "content", "refusal"} {
			if _, ok := m[key]; !ok {
				t.Errorf("message %d lacks %s", i, key)
			}
		}
		if _, has := m["tool_calls"]; has != (i == 1) {
			t.Errorf("message %d: tool_calls is there: %v", i, has)
		}
	}
	if got.Object != "chat.completion" || got.Usage["total_tokens"] != 5.0 {
		t.Errorf("got %s", text)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":1,"n":2,"stop":["a"],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"auto"}`,
		`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.b/c"}},{"type":"text","text":"x"}]}],"model":"m"}`,
		`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}],"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{}}}}`,
		`[]`, `{`, "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := Decode(body)
		if err != nil {
			if e := fault.As(err); e == nil || e.Kind != fault.Invalid || e.Code == "" {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q was taken, but is not JSON", body)
		}
		_ = got.Request.Validate()
	})
}

func BenchmarkDecode(b *testing.B) {
	small := []byte(`{"model":"mock-1","messages":[{"role":"user","content":"` + strings.Repeat("some words ", 90) + `"}],"max_tokens":100,"stream":true}`)
	large := []byte(`{"model":"mock-1","messages":[{"role":"user","content":"` + strings.Repeat("some words ", 9000) + `"}]}`)
	for name, body := range map[string][]byte{"1KB": small, "100KB": large} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkChunk(b *testing.B) {
	e := newEncoder(&head, &chat.Request{}, "req_1")
	ev := chat.Event{Kind: chat.Text, Text: "w000001 "}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = e.event(buf[:0], &ev)
	}
}

func TestOnlyPublicImagesAreTaken(t *testing.T) {
	for url, want := range map[string]bool{
		"https://example.com/a.png": true, "data:image/png;base64,xx": true, "https://bücher.example/a": true,
		"http://example.com/a.png": false, "https://127.0.0.1/a": false, "https://0177.0.0.1/a": false, "https://2130706433/a": false, "https://0x7f.1/a": false,
		"https://[::1]/a": false, "https://localhost/a": false, "https://a.localhost/a": false, "https://example.com:8443/a": false, "https://u@example.com/a": false,
		"https://metadata.google.internal/x": false, "file:///etc/passwd": false, "https:///a": false, "https://example.com.": true, "ftp://example.com/a": false,
		"https://１２７.０.０.１/x": false, "https://metadata.google。internal/x": false, "https://foo.ｌｏｃａｌｈｏｓｔ/": false,
	} {
		if got := publicURL(url); got != want {
			t.Errorf("%s: %v", url, got)
		}
	}
}

func TestAResumedStreamHasTheRestOfItsBytes(t *testing.T) {
	events := []chat.Event{
		{Kind: chat.Started}, {Kind: chat.Text, Text: "a"}, {Kind: chat.Text, Text: "b"}, {Kind: chat.Used, Usage: &chat.Usage{}},
		{Kind: chat.Stopped, Reason: chat.Stop}, {Kind: chat.Finished},
	}
	from := func(skip int) string {
		e := newEncoder(&head, &chat.Request{IncludeUsage: true}, "req_1")
		e.answer, e.skip = "chatcmpl-1", skip
		var b []byte
		for i := range events {
			b = e.event(b, &events[i])
		}
		return string(b)
	}
	all := strings.SplitAfter(from(0), "\n\n") // role, a, b, end, usage, [DONE]
	if len(all) != 7 || !strings.HasPrefix(all[0], "id: chatcmpl-1.1\ndata: {") || !strings.HasPrefix(all[4], "id: chatcmpl-1.5\ndata: {") || all[5] != "data: [DONE]\n\n" {
		t.Fatalf("got %q", all)
	}
	for skip := range 6 {
		if got, want := from(skip), strings.Join(all[skip:], ""); got != want {
			t.Errorf("after %d: got %s\nwant %s", skip, got, want)
		}
	}
}
