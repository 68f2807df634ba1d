package kit

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Upstream is an OpenAI-shaped upstream that behaves as it is told. It listens
// from the start; Down closes it.
type Upstream struct {
	URL string // with /v1

	server *httptest.Server
	mu     sync.Mutex
	bodies []string
	gone   chan struct{} // a request's client has left
	mode   string
}

// NewUpstream starts an upstream. Its modes: ok, 429, 500, hang (nothing ever
// comes), cut (broken off in the middle), nofinish (ended without a reason),
// half (silent after the first piece), reset (closed before any answer), die (broken off
// in the middle, of a whole answer too), garbage (nothing that can be understood), slow
// (well, after 300 ms).
func NewUpstream(t testing.TB, mode string) *Upstream {
	t.Helper()
	u := &Upstream{mode: mode, gone: make(chan struct{}, 100)}
	u.server = httptest.NewServer(u)
	u.URL = u.server.URL + "/v1"
	t.Cleanup(func() {
		u.server.CloseClientConnections()
		u.server.Close()
	})
	return u
}

// Dead gives the address of an upstream that nobody listens on.
func Dead(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("http://%s/v1", net.JoinHostPort("127.0.0.1", fmt.Sprint(FreePort(t))))
}

// Become changes the mode, for requests that come from now on.
func (u *Upstream) Become(mode string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mode = mode
}

// Last is the body of the last chat request.
func (u *Upstream) Last() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.bodies) == 0 {
		return ""
	}
	return u.bodies[len(u.bodies)-1]
}

// Requests is how many chat requests came.
func (u *Upstream) Requests() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.bodies)
}

// Gone waits until a client has left in the middle of its request.
func (u *Upstream) Gone(within time.Duration) bool {
	select {
	case <-u.gone:
		return true
	case <-time.After(within):
		return false
	}
}

// ServeHTTP answers as the mode says.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method == http.MethodGet {
		fmt.Fprint(w, `{"object":"list","data":[{"id":"mock-1","object":"model","created":1,"owned_by":"mock"}]}`)
		return
	}
	u.mu.Lock()
	u.bodies = append(u.bodies, string(body))
	mode := u.mode
	u.mu.Unlock()
	var in struct {
		Stream   bool
		Messages []struct{ Content any }
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Messages) == 0 {
		http.Error(w, `{"error":{"message":"bad request","type":"invalid_request_error","param":null,"code":null}}`, http.StatusBadRequest)
		return
	}
	stay := func() {
		<-r.Context().Done()
		select {
		case u.gone <- struct{}{}:
		default: // nobody counts them
		}
	}
	switch mode {
	case "429":
		w.Header().Set("Retry-After", "1")
		http.Error(w, `{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, http.StatusTooManyRequests)
		return
	case "500":
		http.Error(w, `{"error":{"message":"secret-of-upstream","type":"server_error","param":null,"code":null}}`, http.StatusInternalServerError)
		return
	case "hang":
		stay()
		return
	case "reset":
		panic(http.ErrAbortHandler)
	case "garbage":
		w.Header().Set("Content-Type", map[bool]string{true: "text/event-stream", false: "application/json"}[in.Stream])
		fmt.Fprint(w, "data: <html>secret-of-upstream</html>\n\n")
		return
	case "slow":
		select {
		case <-time.After(300 * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	text, err := json.Marshal(fmt.Sprint(in.Messages[len(in.Messages)-1].Content))
	if err != nil {
		panic(err)
	}
	const usage = `"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":3}}`
	if !in.Stream {
		w.Header().Set("Content-Type", "application/json")
		if mode == "die" {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"id":"chatcmpl-up","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"ha`)
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, `{"id":"chatcmpl-up","object":"chat.completion","created":1,"model":"mock-1","vendor_field":{"a":1},"choices":[{"index":0,"message":{"role":"assistant","content":%s,"refusal":null},"logprobs":null,"finish_reason":"stop"}],%s}`, text, usage)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(choices string) {
		fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-up\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"mock-1\",\"vendor_field\":7,\"choices\":[%s]}\n\n", choices)
		w.(http.Flusher).Flush()
	}
	send(`{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}`)
	send(`{"index":0,"delta":{"content":` + string(text) + `},"finish_reason":null}`)
	switch mode {
	case "cut", "die":
		panic(http.ErrAbortHandler)
	case "half":
		stay()
		return
	case "nofinish":
		fmt.Fprint(w, "data: [DONE]\n\n")
		return
	}
	send(`{"index":0,"delta":{},"finish_reason":"stop"}`)
	fmt.Fprintf(w, "data: {\"id\":\"chatcmpl-up\",\"choices\":[],%s}\n\ndata: [DONE]\n\n", usage)
}
