package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/redis"
)

// lastID finds the ids of a stream's events.
var lastID = regexp.MustCompile(`(?m)^id: (chatcmpl-[0-9a-z]+\.[0-9]+)$`)

// piece takes the events of a stream: about n bytes of it and then whole events, or all.
func piece(t *testing.T, resp *http.Response, n int) string {
	t.Helper()
	defer resp.Body.Close()
	if n < 0 {
		return whole(t, resp)
	}
	begun := make([]byte, n)
	had, err := io.ReadFull(resp.Body, begun)
	if err != nil && err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	return string(begun[:bytes.LastIndex(begun[:had], []byte("\n\n"))+2])
}

// Clients lose their connections wherever they are, any number of times, and go on with
// any server: together they have every byte once.
func TestAStreamIsResumedWhereItWasCut(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	servers := limited(t, 2, redis.Shared(t), "agents:\n  demo: {driver: demo, demo: {delay: 20ms}}\n")
	body := kit.AskStream("demo/slow", strings.Repeat("word ", 30))
	open := func(key, after string) *http.Response {
		t.Helper()
		headers := append(as("victim"), "Idempotency-Key", key)
		if after != "" {
			headers = append(headers, "Last-Event-ID", after)
		}
		resp, err := servers[r.IntN(2)].Open(t.Context(), http.MethodPost, "/v1/chat/completions", body, headers...)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(resp.Body)
			t.Fatalf("after %q: %d %s", after, resp.StatusCode, text)
		}
		return resp
	}
	cuts := 0
	for n := range kit.Size(6, 6, 200) {
		key := fmt.Sprintf("key-%d", n)
		first := open(key, "")
		size := 300 + r.IntN(3000)
		got := piece(t, first, size)
		for !strings.HasSuffix(got, "data: [DONE]\n\n") {
			ids := lastID.FindAllStringSubmatch(got, -1)
			if len(ids) == 0 {
				t.Fatalf("no event of %q has an id", got)
			}
			if size = 300 + r.IntN(6000); size > 4000 {
				size = -1
			}
			cuts++
			got += piece(t, open(key, ids[len(ids)-1][1]), size)
		}
		if all := piece(t, open(key, ""), -1); all != got {
			t.Errorf("with cuts:\n%s\nand whole:\n%s", got, all)
		}
	}
	t.Logf("%d cuts", cuts)
}

func TestWhatCannotBeResumedIsRefused(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: "agents:\n  demo: {driver: demo, demo: {delay: 200ms}}\nresume: {window: 1s}\n"})
	refused := func(status int, code, body string, headers ...string) {
		t.Helper()
		a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", body, append(headers, "Content-Type", "application/json")...)
		if err != nil || a.Status != status || !strings.Contains(a.Body, fmt.Sprintf(`"code":%q`, code)) {
			t.Errorf("%v: %d %s, %v", headers, a.Status, a.Body, err)
		}
	}
	ask := kit.AskStream("demo/slow", strings.Repeat("word ", 30))
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", ask, "Idempotency-Key", "k")
	if err != nil {
		t.Fatal(err)
	}
	had := lastID.FindStringSubmatch(piece(t, resp, 600))
	if had == nil {
		t.Fatal("the events have no ids")
	}
	refused(400, "unsupported_parameter", ask, "Last-Event-ID", had[1])
	refused(400, "unsupported_parameter", kit.Ask("demo/slow", "x"), "Last-Event-ID", had[1], "Idempotency-Key", "other")
	for _, id := range []string{"x", "chatcmpl-x.0", "chatcmpl-x.-1", "chatcmpl-x.99999999999999999999", "x.1", had[1] + ".1"} {
		refused(400, "invalid_value", ask, "Last-Event-ID", id, "Idempotency-Key", "k")
	}
	refused(410, "stream_expired", ask, "Last-Event-ID", "chatcmpl-0123456789abcdef.3", "Idempotency-Key", "k")
	refused(422, "idempotency_key_reuse", kit.AskStream("demo/slow", "x"), "Last-Event-ID", had[1], "Idempotency-Key", "k")
	if !kit.Soon(10*time.Second, func() bool { return running(t, s) == 0 }) {
		t.Fatal("a stream that nobody came back for runs on")
	}
	refused(410, "stream_expired", ask, "Last-Event-ID", had[1], "Idempotency-Key", "k")
	unnumbered := func(config string, headers ...string) {
		t.Helper()
		s := kit.Start(t, kit.Options{Config: config})
		if a := s.Chat(t, kit.AskStream("demo/echo", "hi"), headers...); lastID.MatchString(a.Body) {
			t.Errorf("events that cannot be resumed have ids: %s", a.Body)
		}
	}
	unnumbered("")
	unnumbered("resume: {window: 0}\n", "Idempotency-Key", "k")
}

// running is how many requests a server is at.
func running(t *testing.T, s *kit.Server) int {
	t.Helper()
	a, err := s.Do(t.Context(), http.MethodGet, "/api/v1/platform/stats", "")
	var out struct {
		Running int `json:"requests_running"`
	}
	if err != nil || json.Unmarshal([]byte(a.Body), &out) != nil || a.Status != http.StatusOK {
		t.Fatalf("%d %s, %v", a.Status, a.Body, err)
	}
	return out.Running
}
