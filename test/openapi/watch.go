package openapi

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Proxy gives the address of a server before another one, for programs whose requests
// are to be watched, too.
func Proxy(t testing.TB, to string) string {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	p := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     Watch(t, http.DefaultTransport),
		FlushInterval: -1, // events are to come one by one
		ErrorLog:      log.New(io.Discard, "", 0),
	})
	t.Cleanup(p.Close)
	return p.URL
}

// Watch gives a transport that sends by next, and holds each exchange to the server's
// document. What differs fails t at its end, each difference once.
func Watch(t testing.TB, next http.RoundTripper) *Watcher {
	t.Helper()
	d, err := Ours()
	if err != nil {
		t.Fatal(err)
	}
	w := &Watcher{doc: d, next: next, seen: map[string]bool{}, done: map[string]bool{}}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, text := range w.found {
			t.Errorf("configs/openapi.yaml does not say so: %s", text)
		}
	})
	return w
}

// Watcher is a transport that watches. It is safe for concurrent use.
type Watcher struct {
	doc  *Document
	next http.RoundTripper

	mu    sync.Mutex
	seen  map[string]bool // what was found
	found []string
	done  map[string]bool // operations that have succeeded
}

// mostFound is how many differences are told.
const mostFound = 20

// RoundTrip sends a request. Its answer is held to the document when it is read to its
// end, or closed.
func (w *Watcher) RoundTrip(r *http.Request) (*http.Response, error) {
	x := &Exchange{Method: r.Method, URL: r.URL, Header: r.Header.Clone()}
	if r.Body != nil {
		text, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
		r, x.Body = r.Clone(r.Context()), text
		r.Body = io.NopCloser(bytes.NewReader(text))
	}
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	x.Status, x.Answer = resp.StatusCode, resp.Header.Clone()
	resp.Body = &reading{ReadCloser: resp.Body, x: x, over: sync.OnceFunc(func() { w.check(x) })}
	return resp, nil
}

func (w *Watcher) check(x *Exchange) {
	errs := w.doc.Check(x)
	w.mu.Lock()
	defer w.mu.Unlock()
	if op := w.doc.find(x.Method, x.URL.EscapedPath()); op != nil && x.Status < 300 {
		w.done[op.ID] = true
	}
	for _, err := range errs {
		if text := err.Error(); !w.seen[text] && len(w.found) < mostFound {
			w.seen[text] = true
			w.found = append(w.found, text)
		}
	}
}

// Undone are the operations that might have succeeded, and of which none did.
func (w *Watcher) Undone() (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, op := range w.doc.Operations() {
		for status := range w.doc.at(op.at, "responses").each() {
			if strings.HasPrefix(status, "2") && !w.done[op.ID] && !slices.Contains(ids, op.ID) {
				ids = append(ids, op.ID)
			}
		}
	}
	return ids
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
