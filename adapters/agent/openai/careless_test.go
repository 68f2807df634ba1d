package openai

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// Upstreams speak the dialect carelessly; what is said must still be right.

func called(t *testing.T, pieces ...string) []chat.ToolCall {
	t.Helper()
	var events []string
	for _, p := range pieces {
		events = append(events, chunk(`{"tool_calls":[`+p+`]}`, "null"))
	}
	a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		sse(w, append(events, chunk(`{}`, `"tool_calls"`), "[DONE]")...)
	})
	_, got, err := collect(t, t.Context(), a, task(streamed))
	if err != nil {
		t.Fatal(err)
	}
	return got.Choices[0].Message.ToolCalls
}

func TestPiecesOfToolCallsReachTheCallThatIsMeant(t *testing.T) {
	want := fmt.Sprint([]chat.ToolCall{{ID: "a", Name: "f", Arguments: `{"x":1}`}, {ID: "b", Name: "g", Arguments: `{"y":2}`}})
	for name, pieces := range map[string][]string{
		"index 0 for all, in pieces": {
			`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}`, `{"index":0,"function":{"arguments":"1}"}}`,
			`{"index":0,"id":"b","function":{"name":"g","arguments":"{\"y\":"}}`, `{"index":0,"function":{"arguments":"2}"}}`},
		"counted from 1, interleaved": {
			`{"index":1,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}`, `{"index":2,"id":"b","function":{"name":"g","arguments":"{\"y\":"}}`,
			`{"index":1,"function":{"arguments":"1}"}}`, `{"index":2,"function":{"arguments":"2}"}}`},
		"as OpenAI sends them, interleaved": {
			`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":"}}`, `{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{\"y\":"}}`,
			`{"index":0,"function":{"arguments":"1}"}}`, `{"index":1,"function":{"arguments":"2}"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(called(t, pieces...)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// said runs a stream of these raw bytes.
func said(t *testing.T, raw string) (chat.Completion, []chat.Event, error) {
	t.Helper()
	a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, raw)
	})
	events, got, err := collect(t, t.Context(), a, task(streamed))
	return got, events, err
}

func TestOddEventStreamsLoseNothing(t *testing.T) {
	text, stop := "data: "+chunk(`{"content":"a"}`, "null"), "data: "+chunk(`{}`, `"stop"`)
	for name, raw := range map[string]string{
		"a byte order mark":           "\xef\xbb\xbf" + text + "\n\n" + stop + "\n\n",
		"an empty data line":          text + "\n\ndata:\n\n" + stop + "\n\n",
		"an end without a blank line": text + "\n\n" + stop,
		"an end without a line end":   text + "\n\n" + stop + "\n",
		"a vendor's piece at the end": text + "\n\n" + stop + "\n\ndata: " + chunk(`{"vendor":1}`, "null") + "\n\n",
		"carriage returns":            strings.ReplaceAll(text+"\n\n"+stop+"\n\n", "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if got, _, err := said(t, raw); err != nil || got.Choices[0].Message.Text() != "a" {
				t.Errorf("got %+v, %v", got.Choices, err)
			}
		})
	}
}

func TestATokenIsNotHeldForWhatOnlyLooksLikeAnEvent(t *testing.T) {
	for _, noise := range []string{": data: nothing\n\n", "event: data:x\n\n"} {
		release := make(chan struct{})
		a := upstream(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: %s\n\n%s", chunk(`{"content":"a"}`, "null"), noise)
			w.(http.Flusher).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
			fmt.Fprintf(w, "data: %s\n\ndata: [DONE]\n\n", chunk(`{}`, `"stop"`))
		})
		began := make(chan bool, 1)
		go func() {
			select {
			case ok := <-began:
				_ = ok
			case <-time.After(2 * time.Second):
				t.Errorf("%q held the token up", noise)
			}
			close(release)
		}()
		for e, err := range a.Run(t.Context(), task(streamed)) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == chat.Text {
				began <- true
			}
		}
	}
}

func TestAnAnswerThatFailedIsNotCalledComplete(t *testing.T) {
	for _, reason := range []string{"error", "abort", "cancelled", "canceled", "failed"} {
		_, _, err := said(t, "data: "+chunk(`{"content":"a"}`, "null")+"\n\ndata: "+chunk(`{}`, `"`+reason+`"`)+"\n\ndata: [DONE]\n\n")
		if !fault.Is(err, fault.Upstream) {
			t.Errorf("%s: got %v", reason, err)
		}
	}
}

func TestBytesArePassedOnOnlyWhereTheyAreComplete(t *testing.T) {
	for name, c := range map[string]string{
		"no index":                     `{"choices":[{"delta":{"content":"a"},"finish_reason":null}]}`,
		"no delta":                     `{"choices":[{"index":0,"finish_reason":"stop"}]}`,
		"a null delta":                 `{"choices":[{"index":0,"delta":null,"finish_reason":"stop"}]}`,
		"an empty finish reason":       `{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":""}]}`,
		"a null index":                 `{"choices":[{"index":null,"delta":{"content":"a"},"finish_reason":null}]}`,
		"a call without its type":      `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}`,
		"a call without its index":     `{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}`,
		"a call without its arguments": `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f"}}]},"finish_reason":null}]}`,
	} {
		p := parser{answer: &answer{}}
		if _, err := p.parse([]byte(c), false); err != nil || p.keep {
			t.Errorf("%s: %v; passed on as %s", name, err, p.native)
		}
	}
	for name, c := range map[string]string{
		"no message":              `{"choices":[{"index":0,"finish_reason":"stop"}]}`,
		"no role":                 `{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}`,
		"no index":                `{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}`,
		"a call without its type": `{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`,
	} {
		p := parser{answer: &answer{}}
		if _, err := p.parse([]byte(c), true); err != nil || p.keep {
			t.Errorf("%s: %v; passed on as %s", name, err, p.native)
		}
	}
	for _, usage := range []string{
		`{"prompt_tokens":null,"completion_tokens":1,"total_tokens":1}`, `{"prompt_tokens":"1","completion_tokens":1,"total_tokens":2}`,
		`{"prompt_tokens":1.5,"completion_tokens":1,"total_tokens":2.5}`, `{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":null}}`,
	} {
		var a answer
		if a.take([]byte(usage)); a.rawUse != nil {
			t.Errorf("passed on as usage: %s", a.rawUse)
		}
	}
	var a answer
	if a.take([]byte(`{"prompt_tokens":null,"completion_tokens":null,"total_tokens":null}`)); a.usage != nil {
		t.Error("usage that says nothing counts as none used")
	}
}

func TestReasoningThatComesTwiceIsToldOnce(t *testing.T) {
	p := parser{answer: &answer{}}
	events, err := p.parse([]byte(`{"choices":[{"index":0,"delta":{"reasoning":"hm","reasoning_content":"hm"},"finish_reason":null}]}`), false)
	if err != nil || len(events) != 1 || events[0].Text != "hm" {
		t.Errorf("got %+v, %v", events, err)
	}
}

func TestNoSecretIsInAnErrorOrAPrintedValue(t *testing.T) {
	const header = "header-secret-value"
	withHeader := func(o *Options) { o.Headers = map[string]string{"X-Secret": header} }
	leaks := func(s string) bool { return strings.Contains(s, "sk-secret-key") || strings.Contains(s, header) }
	errorBody := `{"error":{"message":"m sk-secret-key ` + header + `","type":"t sk-secret-key","param":"p ` + header + `","code":"c sk-secret-key"}}`
	for name, raw := range map[string]string{
		"in the stream": "data: " + chunk(`{"content":"a"}`, "null") + "\n\ndata: " + errorBody + "\n\n",
		"at its start":  "data: " + errorBody + "\n\n",
	} {
		a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, raw)
		}, withHeader)
		if _, _, err := collect(t, t.Context(), a, task(streamed)); err == nil || leaks(err.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, status := range []int{400, 401, 429, 500} {
		a := upstream(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, errorBody, status) }, withHeader)
		_, _, err := collect(t, t.Context(), a, task(asked))
		f := fault.As(err)
		if f == nil || leaks(err.Error()+f.Code+f.Type+f.Param+f.Message+f.Hint) {
			t.Errorf("%d: %v %+v", status, err, f)
		}
	}
	o := Options{BaseURL: "http://127.0.0.1/v1", APIKey: "sk-secret-key", Headers: map[string]string{"X-Secret": header}, Conns: 1}
	a, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprintf("%+v", o), fmt.Sprintf("%#v", o), fmt.Sprint(a), fmt.Sprintf("%+v", a), fmt.Sprintf("%#v", a)} {
		if leaks(s) {
			t.Errorf("printed: %s", s)
		}
	}
	o.BaseURL = "http://user:hunter2pass@host/v1"
	if err := o.Validate(); err == nil || strings.Contains(err.Error(), "hunter2pass") {
		t.Errorf("got %v", err)
	}
}

// An upstream that sends more than its answer must not have the rest taken for
// the answer to the next request, which may be another tenant's.
func TestWhatComesAfterAnAnswerIsNobodysAnswer(t *testing.T) {
	const body = `{"choices":[{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}]}`
	reply := func(s string) []byte {
		b := fmt.Sprintf(body, s)
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stray := make(chan struct{})
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			buf := make([]byte, 4096)
			_, _ = c.Read(buf)
			_, _ = c.Write(reply("right"))
			if n == 0 {
				time.Sleep(20 * time.Millisecond) // after the connection was given back
				_, _ = c.Write(reply("somebody else's"))
				close(stray)
			}
		}
	}()
	defer func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	}()
	a := before(t, "http://"+l.Addr().String())
	for i := range 2 {
		_, got, err := collect(t, t.Context(), a, task(asked))
		if err != nil {
			t.Fatal(err)
		}
		if text := got.Choices[0].Message.Text(); text != "right" {
			t.Errorf("request %d was answered with %q", i, text)
		}
		<-stray
		time.Sleep(20 * time.Millisecond)
	}
}

func TestAnAnswersHeadMayBeLarge(t *testing.T) {
	a := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", strings.Repeat("x", 40<<10))
		sse(w, chunk(`{"content":"hello"}`, `"stop"`), "[DONE]")
	})
	for range 2 { // the second on the same connection
		_, got, err := collect(t, t.Context(), a, task(streamed))
		if err != nil || got.Choices[0].Message.Text() != "hello" {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
}
