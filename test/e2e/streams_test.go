package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/test/kit"
)

// Many streams are open at once, each slow; every one must come whole and in
// order. What each takes of the server's memory is printed.
func TestManySlowStreamsAreCompleteAndInOrder(t *testing.T) {
	streams := kit.Size(200, 1000, 5000)
	const tokens = 20
	var open atomic.Int32
	all := make(chan struct{}) // closed when every stream is open
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"object":"list","data":[]}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range tokens {
			fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%d \"},\"finish_reason\":null}]}\n\n", n)
			w.(http.Flusher).Flush()
			if n == 0 && open.Add(1) == int32(streams) {
				close(all)
			}
			if n == 0 {
				<-all
			}
			time.Sleep(50 * time.Millisecond) // slow is the point
		}
		fmt.Fprint(w, "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(up.Close)
	s := kit.Start(t, kit.Options{Config: fmt.Sprintf("storage: {driver: memory}\nagents: {up: {driver: openai, models: [m], openai: {base_url: %q}}}\n", up.URL+"/v1")})
	before := s.Memory(t)

	var want strings.Builder
	for n := range tokens {
		fmt.Fprintf(&want, "%d ", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var done sync.WaitGroup
	for range streams {
		done.Go(func() {
			if got, err := read(ctx, s); err != nil || got != want.String() {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	select {
	case <-all:
	case <-ctx.Done():
		t.Errorf("only %d of %d streams are open", open.Load(), streams)
		close(all)
	}
	t.Logf("%d streams open: %d KB each", streams, (s.Memory(t)-before)/streams/1024)
	done.Wait()
}

// read takes one stream to its end and gives its text; an error unless [DONE]
// ends it.
func read(ctx context.Context, s *kit.Server) (string, error) {
	resp, err := s.Open(ctx, http.MethodPost, "/v1/chat/completions", kit.AskStream("m", "x"))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return streamed(resp)
}

// streamed gives the text of an answer that streams; an error unless [DONE] ends it.
func streamed(resp *http.Response) (string, error) {
	var text strings.Builder
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if data == "[DONE]" {
			return text.String(), nil
		}
		if !ok {
			continue
		}
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return "", err
		}
		for _, c := range chunk.Choices {
			text.WriteString(c.Delta.Content)
		}
	}
	return text.String(), fmt.Errorf("status %d, no [DONE]", resp.StatusCode)
}
