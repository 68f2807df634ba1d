package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentapi/test/kit"
)

// An agent that a reload has taken away ends what it began, also when the server is
// asked to stop before it has.
func TestAnAgentThatHasGoneEndsItsStreamsWhileTheServerStops(t *testing.T) {
	const pieces = 20
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what is asked does not matter
		w.Header().Set("Content-Type", "text/event-stream")
		send := func(choice string) {
			fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,%s}]}\n\n", choice)
			w.(http.Flusher).Flush()
		}
		for range pieces {
			send(`"delta":{"role":"assistant","content":"word "},"finish_reason":null`)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
		send(`"delta":{},"finish_reason":"stop"`)
		fmt.Fprint(w, "data: [DONE]\n\n")
	}))
	t.Cleanup(provider.Close)
	base := staff + "storage: {driver: memory}\nagents:\n  demo: {driver: demo, models: [echo]}\n"
	s := kit.Start(t, kit.Options{Config: base + fmt.Sprintf("  gone: {driver: ccr, ccr: {command: %q, providers: [{name: or, base_url: %q, api_key: k, models: [m]}]}}\n", kit.CCRProgram(t), provider.URL+"/v1")})
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("gone/m", "x"), as("victim")...)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	defer resp.Body.Close()
	reconfigure(t, s, base)
	reload(t, s, http.StatusOK)
	s.Signal(syscall.SIGTERM)
	if text, err := streamed(resp); err != nil || strings.Count(text, "word") != pieces {
		t.Errorf("the stream of an agent that has gone: %q, %v", text, err)
	}
	if code, err := s.Wait(20 * time.Second); err != nil || code != 0 {
		t.Errorf("exit %d, %v", code, err)
	}
}
