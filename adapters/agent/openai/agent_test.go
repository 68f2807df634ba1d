package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
	"agentapi/ports/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream starts a server that answers as serve does, and an agent in front of it.
func upstream(t *testing.T, serve http.HandlerFunc, change ...func(*Options)) *Agent {
	t.Helper()
	s := httptest.NewServer(serve)
	t.Cleanup(s.Close)
	return before(t, s.URL, change...)
}

func before(t *testing.T, url string, change ...func(*Options)) *Agent {
	t.Helper()
	var o Options
	o.SetDefaults()
	o.BaseURL, o.APIKey = url+"/v1", "sk-secret-key"
	for _, c := range change {
		c(&o)
	}
	a, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.Background()) })
	return a
}

func task(raw string) agent.Task {
	r := &chat.Request{Model: "m", N: 1, Stream: strings.Contains(raw, `"stream":true`), Raw: []byte(raw)}
	return agent.Task{Model: "up-model", Request: r}
}

const streamed = `{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}`

const asked = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`

func collect(t *testing.T, ctx context.Context, a *Agent, task agent.Task) (events []chat.Event, done chat.Completion, err error) {
	t.Helper()
	var fold chat.Assembler
	for e, err := range a.Run(ctx, task) {
		if err != nil {
			return events, fold.Completion(), err
		}
		if err := fold.Add(e); err != nil {
			t.Fatalf("the order of events is broken: %v", err)
		}
		e.Native = append([]byte(nil), e.Native...)
		events = append(events, e)
	}
	done = fold.Completion()
	done.Native = append([]byte(nil), done.Native...)
	return events, done, nil
}

// sse sends events, flushing each.
func sse(w http.ResponseWriter, events ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range events {
		fmt.Fprintf(w, "data: %s\n\n", e)
		w.(http.Flusher).Flush()
	}
}

func chunk(delta, finish string) string {
	return `{"id":"x","object":"chat.completion.chunk","created":1,"model":"up","system_fingerprint":"fp","choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}]}`
}

func TestTheAgentKeepsThePortsContract(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Stream   bool
			N        int
			Messages []struct{ Content string }
		}
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"data":[{"id":"up-model","created":1}]}`)
			return
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			w.WriteHeader(400)
			return
		}
		say, _ := json.Marshal(in.Messages[len(in.Messages)-1].Content)
		if in.N == 0 {
			in.N = 1
		}
		if !in.Stream {
			var choices []string
			for i := range in.N {
				choices = append(choices, fmt.Sprintf(`{"index":%d,"message":{"role":"assistant","content":%s},"finish_reason":"stop"}`, i, say))
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id":"x","object":"chat.completion","created":1,"model":"up","choices":[%s],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`, strings.Join(choices, ","))
			return
		}
		for i := range in.N {
			sse(w, fmt.Sprintf(`{"choices":[{"index":%d,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`, i),
				fmt.Sprintf(`{"choices":[{"index":%d,"delta":{"content":%s},"finish_reason":null}]}`, i, say),
				fmt.Sprintf(`{"choices":[{"index":%d,"delta":{},"finish_reason":"stop"}]}`, i))
		}
		sse(w, `{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`, "[DONE]")
	}
	serving := func(h http.HandlerFunc) func(*testing.T) ports.Agent {
		return func(t *testing.T) ports.Agent { return upstream(t, h) }
	}
	porttest.Agent(t, porttest.AgentBench{
		Answering:      serving(echo),
		FailingAtStart: serving(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }),
		DyingMidway: serving(func(w http.ResponseWriter, _ *http.Request) {
			sse(w, chunk(`{"content":"half"}`, "null"))
			panic(http.ErrAbortHandler)
		}),
		Stalling: serving(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // then the server sees the client go
			<-r.Context().Done()
		}),
		StallingMidway: serving(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			sse(w, chunk(`{"content":"half"}`, "null"))
			<-r.Context().Done()
		}),
		Flooding: serving(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for r.Context().Err() == nil {
				if _, err := fmt.Fprint(w, "data: ", strings.Repeat("x", 1<<20)); err != nil {
					return
				}
			}
		}),
		Model: "up-model", Echoes: true, Native: true,
	})
}

func TestTheBodyIsPassedOnButForWhatMustChange(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"whole":   {`{ "model" : "m","top_k":7 , "messages":[ ] }`, `{ "model" : "up-model","top_k":7 , "messages":[ ] }`},
		"stream":  {`{"model":"m","stream":true}`, `{"model":"up-model","stream":true,"stream_options":{"include_usage":true}}`},
		"options": {`{"stream_options":{"include_usage":false,"x":1},"stream":true,"model":"m"}`, `{"stream_options":{"include_usage":true,"x":1},"stream":true,"model":"up-model"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(appendBody(nil, task(c.in))); got != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
	extended := task(`{"model":"m","messages":[{"role":"user","content":"b"}],"seed":1}`)
	extended.Extended = true
	extended.Messages = []chat.Message{
		chat.NewMessage(chat.User, `a"`),
		{Role: chat.Assistant, ToolCalls: []chat.ToolCall{{ID: "c", Name: "f", Arguments: "{}"}}},
		{Role: chat.Tool, ToolCallID: "c", Parts: []chat.Part{{Kind: chat.TextPart, Text: "x"}}},
		{Role: chat.User, Parts: []chat.Part{{Kind: chat.TextPart, Text: "see"}, {Kind: chat.ImagePart, JSON: []byte(`{"type":"image_url","image_url":{"url":"data:x"}}`)}}},
	}
	want := `{"model":"up-model","messages":[{"role":"user","content":"a\""},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},` +
		`{"role":"tool","content":"x","tool_call_id":"c"},{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:x"}}]}],"seed":1}`
	if got := string(appendBody(nil, extended)); got != want {
		t.Errorf("got %s", got)
	}
}

func TestAWholeAnswersBytesComeBackPatched(t *testing.T) {
	a := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sk-secret-key" || r.URL.Path != "/v1/chat/completions" {
			t.Errorf("the request was %v %v", r.URL, r.Header)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":"up","object":"chat.completion","created":1,"model":"up","vendor":{"x":1},"choices":[{"index":0,"message":{"role":"assistant","content":"hi","tool_calls":[]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}}`)
	})
	_, got, err := collect(t, t.Context(), a, task(asked))
	if err != nil {
		t.Fatal(err)
	}
	want := `"vendor":{"x":1},"choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}`
	if string(got.Native) != want {
		t.Errorf("got  %s\nwant %s", got.Native, want)
	}
	if got.Usage.Cached != 2 || got.Choices[0].Message.Text() != "hi" {
		t.Errorf("got %+v", got)
	}
}

func TestAStreamsBytesComeBack(t *testing.T) {
	a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		sse(w, chunk(`{"role":"assistant","content":"","refusal":null}`, "null"),
			chunk(`{"role":"assistant","content":"a","vendor":1}`, "null"), chunk(`{"content":"b"}`, `"length"`),
			`{"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`, "[DONE]")
	})
	events, got, err := collect(t, t.Context(), a, task(streamed))
	if err != nil {
		t.Fatal(err)
	}
	if got.Choices[0].Message.Text() != "ab" || got.Choices[0].Finish != chat.Length || got.Usage.Total() != 5 {
		t.Errorf("got %+v", got)
	}
	want := []string{
		`"system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":"a","vendor":1},"logprobs":null,"finish_reason":null}]`, "",
		`"system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":"b"},"logprobs":null,"finish_reason":"length"}]`,
		`{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}`, "",
	}
	if len(events) != len(want) {
		t.Fatalf("got %d events: %+v", len(events), events)
	}
	for i, e := range events {
		if string(e.Native) != want[i] {
			t.Errorf("event %d carries %s, want %s", i, e.Native, want[i])
		}
	}
	if !events[1].Held || events[0].Held {
		t.Error("the text of the chunk that ends the choice must be held, and no other")
	}
}

func TestHowStreamsMayEnd(t *testing.T) {
	text, stop := chunk(`{"content":"a"}`, "null"), chunk(`{}`, `"stop"`)
	for name, c := range map[string]struct {
		events []string
		abort  bool
		code   string
	}{
		"announced":                      {[]string{text, stop, "[DONE]"}, false, ""},
		"without [DONE]":                 {[]string{text, stop}, false, ""},
		"cut after the finish":           {[]string{text, stop}, true, ""},
		"no finish reason":               {[]string{text, "[DONE]"}, false, "stream_truncated"},
		"no finish reason and no [DONE]": {[]string{text}, false, "stream_truncated"},
		"cut in the middle":              {[]string{text}, true, "upstream_error"},
		"nothing at all":                 {nil, false, "upstream_error"},
		"only [DONE]":                    {[]string{"[DONE]"}, false, "upstream_error"},
		"an error in the stream":         {[]string{text, `{"error":{"message":"secret","code":"x"}}`}, false, "upstream_error"},
		"garbage":                        {[]string{"{nope"}, false, "upstream_error"},
	} {
		t.Run(name, func(t *testing.T) {
			a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
				sse(w, c.events...)
				if c.abort {
					panic(http.ErrAbortHandler)
				}
			})
			_, _, err := collect(t, t.Context(), a, task(streamed))
			if c.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			f := fault.As(err)
			if f == nil || f.Kind != fault.Upstream || f.Code != c.code || strings.Contains(f.Message, "secret") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestUsageIsFoundWhereverItComes(t *testing.T) {
	const use = `"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}`
	text, stop := chunk(`{"content":"a"}`, "null"), chunk(`{}`, `"stop"`)
	for name, events := range map[string][]string{
		"in a chunk of its own":     {text, stop, `{"choices":[],` + use + `}`},
		"on the finish chunk":       {text, strings.Replace(stop, `"id"`, use+`,"id"`, 1)},
		"beside an empty delta":     {text, stop, `{"choices":[{"index":0,"delta":{}}],` + use + `}`},
		"where Groq puts it":        {text, `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{` + use + `}}`},
		"several times, cumulative": {strings.Replace(text, `"id"`, `"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4},"id"`, 1), stop, `{"choices":[],` + use + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			a := upstream(t, func(w http.ResponseWriter, _ *http.Request) { sse(w, append(events, "[DONE]")...) })
			_, got, err := collect(t, t.Context(), a, task(streamed))
			if err != nil || got.Usage.Total() != 5 {
				t.Errorf("got %+v, %v", got.Usage, err)
			}
		})
	}
}

func TestToolCallsOfCarelessServersAreRepaired(t *testing.T) {
	want := []chat.ToolCall{{ID: "a", Name: "f", Arguments: `{"x":1}`}, {ID: "b", Name: "g", Arguments: `{}`}}
	call := func(s string) string { return chunk(`{"tool_calls":[`+s+`]}`, "null") }
	for name, events := range map[string][]string{
		"as OpenAI sends them": {
			call(`{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}`), call(`{"index":0,"function":{"arguments":"{\"x\":"}}`),
			call(`{"index":0,"function":{"arguments":"1}"}}`), call(`{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}`)},
		"index 0 for all": {
			call(`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}`), call(`{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}`)},
		"no index": {
			call(`{"id":"a","function":{"name":"f","arguments":"{\"x\":"}}`), call(`{"function":{"arguments":"1}"}}`), call(`{"id":"b","function":{"name":"g","arguments":"{}"}}`)},
		"the id on every piece": {
			call(`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}`), call(`{"index":0,"id":"a","function":{"arguments":"1}"}}`), call(`{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}`)},
		"arguments as an object": {
			call(`{"index":0,"id":"a","function":{"name":"f","arguments":{"x":1}}}`), call(`{"index":1,"id":"b","function":{"name":"g","arguments":{}}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
				sse(w, append(events, chunk(`{}`, `"tool_calls"`), "[DONE]")...)
			})
			_, got, err := collect(t, t.Context(), a, task(streamed))
			if err != nil {
				t.Fatal(err)
			}
			if calls := got.Choices[0].Message.ToolCalls; fmt.Sprint(calls) != fmt.Sprint(want) || got.Choices[0].Finish != chat.ToolCalls {
				t.Errorf("got %+v, %s", calls, got.Choices[0].Finish)
			}
		})
	}
}

func TestHalvesOfASurrogatePairDoNotBreakTheStream(t *testing.T) {
	a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		sse(w, chunk(`{"content":"x\ud83d"}`, "null"), chunk(`{"content":"\ude00y"}`, "null"), chunk(`{}`, `"stop"`), "[DONE]")
	})
	_, got, err := collect(t, t.Context(), a, task(streamed))
	if err != nil || got.Choices[0].Message.Text() != "x\ufffd\ufffdy" {
		t.Errorf("got %q, %v", fmt.Sprint(got.Choices), err)
	}
}

func TestAnAddressWithoutV1IsSaid(t *testing.T) {
	a := upstream(t, func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) })
	_, _, err := collect(t, t.Context(), a, task(asked))
	if f := fault.As(err); f == nil || !strings.Contains(f.Hint, "/v1") {
		t.Errorf("got %+v", f)
	}
	for address, notes := range map[string]int{"https://x.example": 1, "https://x.example/": 1, "https://x.example/v1": 0} {
		o := Options{BaseURL: address}
		o.SetDefaults()
		a, err := Open(o)
		if err != nil || len(a.Notes()) != notes {
			t.Errorf("%s: %v, %v", address, a.Notes(), err)
		}
	}
}

func TestWhatAnUpstreamsErrorsBecome(t *testing.T) {
	openAI := `{"error":{"message":"no sk-secret-key","type":"t","param":"p","code":"c"}}`
	for name, c := range map[string]struct {
		status int
		body   string
		kind   fault.Kind
		code   string
	}{
		"400":             {400, openAI, fault.Invalid, "c"},
		"404":             {404, openAI, fault.NotFound, "c"},
		"404 of a proxy":  {404, "<html>nope</html>", fault.NotFound, "model_not_found"},
		"413":             {413, openAI, fault.TooLarge, "c"},
		"422":             {422, openAI, fault.Invalid, "c"},
		"429":             {429, openAI, fault.RateLimited, "c"},
		"a spent account": {429, `{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}`, fault.Unavailable, "agent_unavailable"},
		"too long":        {400, `{"error":{"message":"x","code":"context_length_exceeded"}}`, fault.TooLong, "context_length_exceeded"},
		"401":             {401, openAI, fault.Upstream, "upstream_error"},
		"403":             {403, openAI, fault.Upstream, "upstream_error"},
		"402":             {402, openAI, fault.Unavailable, "agent_unavailable"},
		"408":             {408, openAI, fault.Timeout, "upstream_timeout"},
		"500":             {500, openAI, fault.Upstream, "upstream_error"},
		"503":             {503, openAI, fault.Unavailable, "agent_unavailable"},
		"504":             {504, openAI, fault.Timeout, "upstream_timeout"},
		"Anthropic's 529": {529, `{"type":"error","error":{"type":"overloaded_error","message":"x"}}`, fault.Unavailable, "agent_unavailable"},
		"405":             {405, openAI, fault.Upstream, "upstream_error"},
		"409":             {409, openAI, fault.Upstream, "upstream_error"},
		"a redirect":      {302, "", fault.Upstream, "upstream_error"},
		"a bare string":   {400, `{"error":"nope"}`, fault.Invalid, ""},
		"Google's list":   {400, `[{"error":{"code":400,"message":"x","status":"INVALID_ARGUMENT"}}]`, fault.Invalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			_, _, err := collect(t, t.Context(), a, task(asked))
			f := fault.As(err)
			if f == nil || f.Kind != c.kind || f.Code != c.code {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "sk-secret-key") || strings.Contains(f.Message, "<html>") {
				t.Errorf("it shows what it must not: %v", err)
			}
			if (f.Kind == fault.RateLimited || f.Kind == fault.Unavailable) != (f.RetryAfter == 7*time.Second) {
				t.Errorf("retry after %v", f.RetryAfter)
			}
		})
	}
}

func TestAnUpstreamThatIsNotThereIsUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	a := before(t, "http://"+l.Addr().String())
	_, _, err = collect(t, t.Context(), a, task(asked))
	if f := fault.As(err); f == nil || f.Kind != fault.Unavailable || f.Hint == "" {
		t.Errorf("got %v", err)
	}
	if f := fault.As(a.Probe(t.Context())); f == nil || f.Kind != fault.Unavailable {
		t.Errorf("the probe says %v", f)
	}
}

func TestLeavingClosesTheUpstreamsConnectionAtOnce(t *testing.T) {
	for _, raw := range []string{asked, streamed} {
		began, gone := make(chan struct{}), make(chan time.Time, 1)
		a := upstream(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			close(began)
			<-r.Context().Done()
			gone <- time.Now()
		})
		ctx, cancel := context.WithCancel(t.Context())
		var left time.Time
		go func() {
			<-began
			left = time.Now()
			cancel()
		}()
		_, _, err := collect(t, ctx, a, task(raw))
		if !fault.Is(err, fault.Canceled) {
			t.Errorf("got %v", err)
		}
		if took := (<-gone).Sub(left); took > 100*time.Millisecond {
			t.Errorf("the upstream saw it after %v", took)
		}
	}
}

func TestAContextIsKnownWhereTheUpstreamNamesIt(t *testing.T) {
	a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"data":[{"id":"openrouter","context_length":128000},{"id":"vllm","max_model_len":32768},{"id":"groq","context_window":131072},
			{"id":"text","context_length":"large"},{"id":"null","context_length":null},{"id":"less","max_model_len":-1},{"id":"silent"}]}`)
	})
	models, err := a.Models(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{128000, 32768, 131072, 0, 0, 0, 0} {
		if models[i].Context != want {
			t.Errorf("%s: %d, not %d", models[i].ID, models[i].Context, want)
		}
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"stream":true`) {
			sse(w, chunk(`{"content":"a"}`, "null"), chunk(`{}`, `"stop"`), "[DONE]")
			return
		}
		fmt.Fprint(w, `{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}`)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	a := before(t, s.URL)
	for i := range 20 {
		raw := asked
		if i%2 == 0 {
			raw = streamed
		}
		if _, _, err := collect(t, t.Context(), a, task(raw)); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("twenty requests took %d connections", n)
	}
}

func TestAConnectionThatTheUpstreamClosedIsReplacedUnseen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}`
	var served sync.WaitGroup
	served.Go(func() {
		for range 3 { // one request a connection, and no word of closing it
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			_, _ = c.Read(buf)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); served.Wait() })
	a := before(t, "http://"+l.Addr().String())
	for range 3 {
		if _, _, err := collect(t, t.Context(), a, task(asked)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMoreIsSaidOnlyWhenTheNextPieceIsHere(t *testing.T) {
	burst := chunk(`{"content":"a"}`, "null") + "\n\ndata: " + chunk(`{"content":"b"}`, "null")
	a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		sse(w, burst)
		sse(w, chunk(`{}`, `"stop"`), "[DONE]")
	})
	events, _, err := collect(t, t.Context(), a, task(streamed))
	if err != nil || len(events) < 2 || !events[0].More || events[1].More {
		t.Errorf("got %+v, %v", events, err)
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for _, url := range []string{"", "api.openai.com/v1", "ftp://x/v1", "http://", "http://u:p@x/v1", "http://x/v1?a=b"} {
		o := Options{BaseURL: url, Conns: 1}
		if err := o.Validate(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q was taken", url)
		}
	}
}

func FuzzChunksNeverBreakTheParser(f *testing.F) {
	for _, s := range []string{`{"choices":[{"delta":{"role":"a","tool_calls":[],"content":"b"}}]}`, `{"choices":[{"delta":{"role":"a" , "tool_calls":[]}}]}`, chunk(`{"content":"a"}`, "null"), chunk(`{}`, `"stop"`), `{"choices":[],"usage":{"prompt_tokens":1}}`,
		chunk(`{"role":"assistant","tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{}}}]}`, "null")} {
		f.Add(s, false)
		f.Add(strings.Replace(s, "delta", "message", 1), true)
	}
	f.Fuzz(func(t *testing.T, s string, whole bool) {
		p := parser{answer: &answer{}}
		events, err := p.parse([]byte(s), whole)
		if err != nil {
			if fault.As(err) == nil {
				t.Fatalf("%q: an error that is no fault: %v", s, err)
			}
			return
		}
		if p.keep && !json.Valid(append(append([]byte("{"), p.native...), '}')) {
			t.Fatalf("%q: passed on as %s", s, p.native)
		}
		var slow struct {
			Choices []struct {
				Index          int
				Delta, Message struct{ Content *string }
			}
		}
		if len(events) == 0 || json.Unmarshal([]byte(s), &slow) != nil || len(slow.Choices) != 1 || strings.Count(s, "content") != 1 || strings.Contains(s, `\u`) {
			return
		}
		c := slow.Choices[0].Delta.Content
		if whole {
			c = slow.Choices[0].Message.Content
		}
		got := ""
		for _, e := range events {
			if e.Kind == chat.Text {
				got += e.Text
			}
		}
		if c != nil && *c != got && !strings.Contains(*c, "\ufffd") {
			t.Fatalf("%q: got %q, want %q", s, got, *c)
		}
	})
}

func BenchmarkChunk(b *testing.B) {
	text := []byte(`{"id":"chatcmpl-mock0000000000000000000000","object":"chat.completion.chunk","created":1700000000,"model":"mock-1","service_tier":"default","system_fingerprint":"fp_mock","choices":[{"index":0,"delta":{"content":"w000001@0123456789abcdef "},"logprobs":null,"finish_reason":null}]}`)
	p := parser{answer: &answer{}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.parse(text, false); err != nil {
			b.Fatal(err)
		}
	}
}

// What an answer said stands in nothing that another answer is read into.
func TestAnAnswerStaysWhatItWasWhenOthersCome(t *testing.T) {
	var n atomic.Int32
	a := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		mark := strings.Repeat(string(rune('a'+n.Add(1))), 64)
		fmt.Fprintf(w, `{"id":"x","object":"chat.completion","created":1,"model":"up","extra":%[1]q,"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2},`+
			`"choices":[{"index":0,"message":{"role":"assistant","content":%[1]q,"reasoning_content":%[1]q,"refusal":null,"tool_calls":[{"id":%[1]q,"type":"function","function":{"name":%[1]q,"arguments":%[1]q}}]},"logprobs":null,"finish_reason":"tool_calls"}]}`, mark)
	})
	show := func(events []chat.Event) string {
		var b strings.Builder
		for _, e := range events {
			fmt.Fprintf(&b, "%+v %s %+v %+v\n", e, e.Native, e.Call, e.Usage)
		}
		return b.String()
	}
	var kept [][]chat.Event
	var shown []string
	for range 20 {
		var events []chat.Event
		for e, err := range a.Run(t.Context(), task(asked)) {
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
		kept, shown = append(kept, events), append(shown, show(events))
	}
	if last := kept[0][len(kept[0])-1]; len(last.Native) == 0 {
		t.Fatal("no bytes are passed on")
	}
	for i, events := range kept {
		if got := show(events); got != shown[i] {
			t.Errorf("%d became\n%s, was\n%s", i, got, shown[i])
		}
	}
}

// answering is an upstream that says the same to all, on as many connections as come, at
// the least cost.
func answering(b *testing.B, reply []byte) (url string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				for buf := make([]byte, 16<<10); ; {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write(reply); err != nil {
						return
					}
				}
			})
		}
	})
	b.Cleanup(func() { l.Close(); all.Wait() })
	return "http://" + l.Addr().String()
}

func BenchmarkWhole(b *testing.B) {
	body := `{"id":"chatcmpl-mock","object":"chat.completion","created":1700000000,"model":"mock-1","service_tier":"default","system_fingerprint":"fp_mock","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("w01@012345 ", 60) + `","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":300,"completion_tokens":100,"total_tokens":400}}`
	url := answering(b, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	var o Options
	o.SetDefaults()
	o.BaseURL = url + "/v1"
	a, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = a.Stop(b.Context()) }()
	t := task(asked)
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithCancelCause(b.Context()) // each request has its own
		for _, err := range a.Run(ctx, t) {
			if err != nil {
				b.Fatal(err)
			}
		}
		cancel(nil)
	}
}
