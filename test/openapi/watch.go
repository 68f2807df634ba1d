package openapi

import (
	"io"
	"net/http"
	"sync"
	"testing"
)

// Watch gives a transport that sends by next, and holds each exchange to the server's
// document. What differs fails t at its end, each difference once.
func Watch(t testing.TB, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	d, err := Ours()
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{Document: d, next: next, seen: map[string]bool{}}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, text := range w.found {
			t.Errorf("configs/openapi.yaml does not say so: %s", text)
		}
	})
	return w
}

type watch struct {
	*Document
	next http.RoundTripper

	mu    sync.Mutex
	seen  map[string]bool
	found []string
}

// mostFound is how many differences are told.
const mostFound = 20

// RoundTrip sends a request. Its answer is held to the document when it is read to its
// end, or closed.
func (w *watch) RoundTrip(r *http.Request) (*http.Response, error) {
	x := &Exchange{Method: r.Method, URL: r.URL, Header: r.Header.Clone()}
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		if x.Body, err = io.ReadAll(body); err != nil {
			return nil, err
		}
	}
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	x.Status, x.Answer = resp.StatusCode, resp.Header.Clone()
	resp.Body = &reading{ReadCloser: resp.Body, x: x, over: sync.OnceFunc(func() { w.check(x) })}
	return resp, nil
}

func (w *watch) check(x *Exchange) {
	for _, err := range w.Check(x) {
		w.mu.Lock()
		if text := err.Error(); !w.seen[text] && len(w.found) < mostFound {
			w.seen[text] = true
			w.found = append(w.found, text)
		}
		w.mu.Unlock()
	}
}

// reading is an answer's body on its way to who asked. It is read by one goroutine.
type reading struct {
	io.ReadCloser
	x    *Exchange
	over func()
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.x.Content = append(r.x.Content, p[:n]...)
	if err != nil {
		r.x.Cut = err != io.EOF
		r.over()
	}
	return n, err
}

// Close ends the answer. What was read so far is held to the document.
func (r *reading) Close() error {
	r.x.Cut = true // unless its end was read
	r.over()
	return r.ReadCloser.Close()
}
