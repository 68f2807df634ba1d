package kit

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"agentapi/test/openapi"
)

// Answer is what a request got.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// client gives a client that holds each exchange to the server's OpenAPI document; t
// fails where they differ. A benchmark measures the server alone.
func client(t testing.TB) *http.Client {
	if _, measures := t.(*testing.B); measures {
		return http.DefaultClient
	}
	return &http.Client{Transport: openapi.Watch(t, http.DefaultTransport)}
}

// Client is what the kit's requests to the server are sent by, for SDKs.
func (s *Server) Client() *http.Client { return s.http }

// Do sends a request with the kit's token. headers are pairs; an empty value
// takes a header away.
func (s *Server) Do(ctx context.Context, method, path, body string, headers ...string) (Answer, error) {
	resp, err := s.Open(ctx, method, path, body, headers...)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, string(text)}, err
}

// Open sends a request like Do and leaves the body to the caller.
func (s *Server) Open(ctx context.Context, method, path, body string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+Token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	return s.http.Do(req)
}

// Chat asks for a completion; it fails the test only where there is no answer.
func (s *Server) Chat(t testing.TB, body string, headers ...string) Answer {
	t.Helper()
	a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Ask is the body of a request with one message.
func Ask(model, text string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, text)
}

// AskStream is Ask for a stream.
func AskStream(model, text string) string {
	return fmt.Sprintf(`{"model":%q,"stream":true,"messages":[{"role":"user","content":%q}]}`, model, text)
}
