package http_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	web "agentapi/adapters/http"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

func TestASilentStreamHasAHeartbeat(t *testing.T) {
	h := open(t, func(p *web.Params) { p.Heartbeat = 50 * time.Millisecond })
	h.raw.says(func(ctx context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
		_ = yield(chat.Event{Kind: chat.Text, Text: "a"}, nil)
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
		_ = yield(chat.Event{Kind: chat.Text, Text: "b"}, nil) && yield(chat.Event{Kind: chat.Stopped, Reason: chat.Stop}, nil) && yield(chat.Event{Kind: chat.Finished}, nil)
	})
	a := h.chat(t, stream("raw/echo-1", "x"))
	if n := strings.Count(a.body, ": ping\n\n"); n < 2 || n > 8 {
		t.Errorf("%d heartbeats in %s", n, a.body)
	}
	if !strings.HasSuffix(a.body, "data: [DONE]\n\n") || strings.Count(a.body, `"content":"`) != 3 {
		t.Errorf("the heartbeat broke the stream: %s", a.body)
	}
	if got := a.header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
}

func TestARouteOfAnotherAPIIsAnsweredWithOurs(t *testing.T) {
	h := open(t)
	for path, hint := range map[string]string{
		"/chat/completions": "base URL ends in /v1", "/v1/v1/chat/completions": "/v1 once", "/v1/messages": "/v1/chat/completions", "/message": "X-Session-Id",
	} {
		if a := h.do(t, http.MethodPost, path, "{}"); a.status != http.StatusNotFound || !strings.Contains(a.body, hint) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

func TestADefectInAStreamIsSaidInIt(t *testing.T) {
	h := open(t)
	h.raw.says(func(_ context.Context, _ agent.Task, yield func(chat.Event, error) bool) {
		_ = yield(chat.Event{Kind: chat.Text, Text: "a"}, nil)
		panic("a defect")
	})
	a := h.chat(t, stream("raw/echo-1", "x"))
	if a.status != http.StatusOK || !strings.Contains(a.body, "internal_error") || strings.Contains(a.body, "a defect") || strings.Contains(a.body, "[DONE]") {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestLeavingIsSeenWhileTheAgentIsSilent(t *testing.T) {
	h := open(t)
	gone := make(chan error, 1)
	h.raw.says(func(ctx context.Context, task agent.Task, yield func(chat.Event, error) bool) {
		if task.Request.Stream {
			_ = yield(chat.Event{Kind: chat.Text, Text: "a"}, nil)
		}
		<-ctx.Done()
		gone <- context.Cause(ctx)
		yield(chat.Event{}, fault.New(fault.Canceled, "cancelled"))
	})
	for _, body := range []string{ask("raw/echo-1", "x"), stream("raw/echo-1", "x")} {
		for _, reset := range []bool{false, true} {
			conn, _ := h.dial(t)
			_, err := io.WriteString(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+token+
				"\r\nContent-Type: application/json\r\nContent-Length: "+itoa(len(body))+"\r\n\r\n"+body)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			if reset {
				_ = conn.SetLinger(0)
			}
			left := time.Now()
			conn.Close()
			select {
			case cause := <-gone:
				if took := time.Since(left); took > 500*time.Millisecond || !fault.Is(cause, fault.Canceled) {
					t.Errorf("seen after %v: %v", took, cause)
				}
			case <-time.After(2 * time.Second):
				t.Fatal("the agent runs on for nobody")
			}
		}
	}
}

func TestAConnectionServesPipelinedRequestsAfterAStream(t *testing.T) {
	h := open(t)
	conn, r := h.dial(t)
	one := stream("demo/slow", "a b c")
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/json\r\nContent-Length: "
	if _, err := io.WriteString(conn, head+itoa(len(one))+"\r\n\r\n"+one); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if _, err := io.WriteString(conn, head+itoa(len(one))+"\r\n\r\n"+one); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(bufio.NewReader(resp.Body))
		if err != nil || !strings.HasSuffix(string(body), "[DONE]\n\n") {
			t.Errorf("got %s, %v", body, err)
		}
	}
}

func TestAnotherUsersSessionIsNotThere(t *testing.T) {
	h := open(t)
	id := h.chat(t, ask("demo/echo", "x")).header.Get("X-Agentapi-Session-Id")
	for _, path := range []string{"/api/v1/sessions/" + id, "/api/v1/sessions/" + id + "/messages"} {
		if a := h.do(t, http.MethodGet, path, ""); a.status != http.StatusOK {
			t.Errorf("%s: its owner gets %d", path, a.status)
		}
		if a := h.do(t, http.MethodGet, path, "", "Authorization", "Bearer "+token+"-bob"); a.status != http.StatusNotFound {
			t.Errorf("%s: another user gets %d %s", path, a.status, a.body)
		}
	}
}

func TestHealthNeedsNoCredentialAndServesAnyHost(t *testing.T) {
	h := open(t)
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/health", "/status", "/readyz?verbose"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "probe.example"
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestASlowHeadHasItsTimeAndNoMore(t *testing.T) {
	h := open(t, func(p *web.Params) { p.ReadTimeout = 300 * time.Millisecond })
	conn, r := h.dial(t)
	start := time.Now()
	go func() {
		for _, b := range []byte("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaa") {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	resp, err := http.ReadResponse(r, nil)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if took := time.Since(start); took > 3*time.Second || (err == nil && resp.StatusCode != http.StatusRequestTimeout) {
		t.Errorf("got %v, %v after %v", resp, err, took)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection is still open")
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
