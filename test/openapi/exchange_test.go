package openapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// exchange is one that is as described; change makes it another.
func exchange(change func(x *Exchange)) *Exchange {
	x := &Exchange{
		Method: http.MethodGet, URL: &url.URL{Path: "/api/v1/sessions", RawQuery: "limit=1"}, Header: http.Header{}, Status: 200,
		Answer:  http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"req_0123456789abcdef0123456789abcdef"}},
		Content: []byte(`{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false,"list_metadata":{"before":null,"after":null}}`),
	}
	change(x)
	return x
}

// chat is a chat completion, streamed.
func chat(agent, content string) *Exchange {
	return exchange(func(x *Exchange) {
		x.Method, x.URL = http.MethodPost, &url.URL{Path: "/v1/chat/completions"}
		x.Body = []byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}],"anything":1}`)
		x.Answer.Set("Content-Type", "text/event-stream; charset=utf-8")
		for name, value := range map[string]string{"Agent": agent, "Model": "m", "Attempts": "1", "Route": "alias", "Session-Id": "sess_01kdy7585ee0080000000000ke", "Session": "new"} {
			x.Answer.Set("X-Agentapi-"+name, value)
		}
		x.Content = []byte(content)
	})
}

// said is an event with these members beside the usual ones.
func said(more string) string {
	return `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a"` + more + `},"finish_reason":null}]}` + "\n\n"
}

const (
	done   = "data: [DONE]\n\n"
	failed = `data: {"error":{"message":"It failed.","type":"server_error","param":null,"code":"upstream_error"}}` + "\n\n"
)

func TestWhatIsAsDescribedPasses(t *testing.T) {
	for what, x := range map[string]*Exchange{
		"a list":                 exchange(func(*Exchange) {}),
		"its head":               exchange(func(x *Exchange) { x.Method, x.Content = http.MethodHead, nil }),
		"a stream":               chat("demo", said("")+": ping\n\n"+said("")+done),
		"a stream that fails":    chat("demo", said("")+failed),
		"a stream that was left": func() *Exchange { x := chat("demo", said("")+"data: {"); x.Cut = true; return x }(),
		"what a provider adds":   chat("up", said(`,"vendor":1`)+done),
		"a model's name with slashes": exchange(func(x *Exchange) {
			x.URL.Path, x.URL.RawQuery, x.Content = "/v1/models/a/b/c", "", []byte(`{"id":"a/b/c","object":"model","created":1,"owned_by":"a"}`)
		}),
		"an error where nothing is": exchange(func(x *Exchange) {
			x.URL.Path, x.Status, x.Content = "/v2", 404, []byte(`{"error":{"message":"m","type":"t","param":null,"code":null}}`)
		}),
		"a bad request that is refused": exchange(func(x *Exchange) {
			x.URL.RawQuery, x.Status = "limit=many", 400
			x.Answer.Set("Content-Type", "application/problem+json")
			x.Content = []byte(`{"error":{"message":"m","type":"t","param":null,"code":null},"type":"about:blank","title":"Bad Request","status":400,"detail":"m","instance":"/api/v1/sessions"}`)
		}),
	} {
		if errs := ours(t).Check(x); len(errs) > 0 {
			t.Errorf("%s: %v", what, errs)
		}
	}
}

func TestWhatDiffersIsFound(t *testing.T) {
	content := func(from, to string) *Exchange {
		return exchange(func(x *Exchange) { x.Content = []byte(strings.Replace(string(x.Content), from, to, 1)) })
	}
	for what, x := range map[string]*Exchange{
		"a member that is not described":  content(`"has_more"`, `"more":1,"has_more"`),
		"a member within one":             content(`"before":null`, `"before":null,"x":1`),
		"an element of another kind":      content(`[]`, `[{"id":"x"}]`),
		"a member that is not there":      content(`"has_more":false,`, ``),
		"a member of another type":        content(`false`, `"false"`),
		"what is no JSON":                 content(`{`, ``),
		"another status":                  exchange(func(x *Exchange) { x.Status = 202 }),
		"a status of errors":              exchange(func(x *Exchange) { x.Status = 418 }),
		"another type of content":         exchange(func(x *Exchange) { x.Answer.Set("Content-Type", "text/plain") }),
		"a header that is not described":  exchange(func(x *Exchange) { x.Answer.Set("X-Powered-By", "y") }),
		"a header that is not there":      exchange(func(x *Exchange) { x.Answer.Del("X-Request-Id") }),
		"a header of another form":        exchange(func(x *Exchange) { x.Answer.Set("X-Request-Id", "7") }),
		"an unknown parameter, taken":     exchange(func(x *Exchange) { x.URL.RawQuery = "limits=1" }),
		"a parameter's value, taken":      exchange(func(x *Exchange) { x.URL.RawQuery = "limit=many" }),
		"a path that is not described":    exchange(func(x *Exchange) { x.URL.Path = "/api/v1/session" }),
		"an error in another form":        exchange(func(x *Exchange) { x.URL.Path, x.Status = "/api/v1/session", 404 }),
		"a body, taken without one":       func() *Exchange { x := chat("demo", done); x.Body = nil; return x }(),
		"a body that is wrong":            func() *Exchange { x := chat("demo", done); x.Body = []byte(`{"model":"m","messages":[]}`); return x }(),
		"an event of another form":        chat("demo", `data: {"id":1}`+"\n\n"+done),
		"an event's member":               chat("demo", said(`,"vendor":1`)+done),
		"an event after the end":          chat("demo", done+said("")),
		"an event after an error":         chat("demo", failed+done),
		"a stream without an end":         chat("demo", said("")),
		"a stream that ends within one":   chat("demo", done+"data: {"),
		"a line that is none of a stream": chat("demo", "hello\n\n"+done),
	} {
		if errs := ours(t).Check(x); len(errs) != 1 {
			t.Errorf("%s: found is %v", what, errs)
		}
	}
}

// What a client reads is held to the document when it has read it, or gone; each
// difference is told once.
func TestAWatcherPassesOnAndKeepsWhatDiffers(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", "req_0123456789abcdef0123456789abcdef")
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "ok %s", text)
	}))
	t.Cleanup(s.Close)
	w := &Watcher{doc: ours(t), next: http.DefaultTransport, seen: map[string]bool{}, done: map[string]bool{}}
	client := &http.Client{Transport: w}
	t.Cleanup(client.CloseIdleConnections)
	for _, path := range []string{"/livez", "/nowhere", "/nowhere"} {
		resp, err := client.Post(s.URL+path, "text/plain", io.NopCloser(strings.NewReader("said")))
		if path == "/livez" {
			resp, err = client.Get(s.URL + path)
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || path == "/nowhere" && string(text) != "ok said" {
			t.Errorf("%s gave %q, %v", path, text, err)
		}
	}
	if len(w.found) != 1 || !strings.Contains(w.found[0], "POST /nowhere: 200") {
		t.Errorf("found is %q", w.found)
	}
	if left := strings.Join(w.Undone(), " ") + " "; strings.HasPrefix(left, "live ") || strings.Contains(left, " live ") || !strings.Contains(left, "getMe ") || strings.Contains(left, "createProject ") {
		t.Errorf("undone are %s", left)
	}
}
