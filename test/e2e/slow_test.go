package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"agentapi/test/kit"
)

// endless answers "flood" without end and all else in 20 pieces, and counts the floods
// that run.
func endless(t *testing.T) (url string, floods *atomic.Int64) {
	t.Helper()
	floods = &atomic.Int64{}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"object":"list","data":[]}`)
			return
		}
		var body [4096]byte
		n, _ := r.Body.Read(body[:]) // it comes in one piece
		w.Header().Set("Content-Type", "text/event-stream")
		piece := func(text string) error {
			_, err := fmt.Fprintf(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%q},\"finish_reason\":null}]}\n\n", text)
			w.(http.Flusher).Flush()
			return err
		}
		if strings.Contains(string(body[:n]), "flood") {
			floods.Add(1)
			defer floods.Add(-1)
			for text := strings.Repeat("word ", 1000); piece(text) == nil && r.Context().Err() == nil; {
			}
			return
		}
		for range 20 {
			_ = piece("word ") // who has left is of no interest
		}
		fmt.Fprint(w, "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(func() {
		up.CloseClientConnections()
		up.Close()
	})
	return up.URL, floods
}

// narrow sends a chat request over a connection that takes little ahead of its reader,
// as those do that go a long way.
func narrow(t *testing.T, s *kit.Server, body string) *bufio.Reader {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }), err)
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", kit.Token, len(body), body); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(conn)
}

// p99 has ten clients take n whole streams, and gives what all but one of a hundred took
// at most.
func p99(t *testing.T, s *kit.Server, n int) time.Duration {
	t.Helper()
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		took []time.Duration
	)
	for range 10 {
		all.Go(func() {
			for range n / 10 {
				begun := time.Now()
				if _, err := read(t.Context(), s); err != nil {
					t.Error(err)
				}
				mu.Lock()
				took = append(took, time.Since(begun))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}

// Clients who take a byte a second of answers without end cost little memory, and others
// nothing; at full size they are cut off when nothing went out for a minute.
func TestClientsWhoReadSlowlyCostOthersNothing(t *testing.T) {
	kit.Plain(t, "it takes half a minute of two cores")
	up, floods := endless(t)
	s := kit.Start(t, kit.Options{Config: fmt.Sprintf("storage: {driver: memory}\nlog: {level: error}\nagents: {up: {driver: openai, models: [m], limits: {concurrent: 5000}, openai: {base_url: '%s/v1'}}}\n", up)})
	readers := kit.Size(100, 100, 1000)
	streams := 100 * kit.Size(5, 5, 20)
	p99(t, s, streams)
	alone := p99(t, s, streams)
	before := s.Memory(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var slow sync.WaitGroup
	for range readers {
		r := narrow(t, s, kit.AskStream("m", "flood"))
		slow.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				if _, err := r.ReadByte(); err != nil {
					return
				}
			}
		})
	}
	if !kit.Soon(30*time.Second, func() bool { return floods.Load() == int64(readers) }) {
		t.Fatalf("%d of %d streams run", floods.Load(), readers)
	}
	begun := time.Now()
	wait(ctx, 5*time.Second) // until all buffers are full
	grown := s.Memory(t) - before
	beside := p99(t, s, streams)
	if most := max(300*readers/1000, 60) << 20; grown > most {
		t.Errorf("%d slow readers take %d MB", readers, grown>>20)
	}
	// What is within 1.2 on an idle machine may be more on a busy one.
	if beside > 2*alone+50*time.Millisecond {
		t.Errorf("others take %v beside them, and %v alone", beside, alone)
	}
	cut := "not waited for"
	if kit.Size(0, 0, 1) == 1 {
		if !kit.Soon(90*time.Second, func() bool { return floods.Load() == 0 }) {
			t.Errorf("%d of them run still", floods.Load())
		}
		cut = fmt.Sprint("after ", time.Since(begun).Round(time.Second))
	}
	stop()
	slow.Wait()
	t.Logf("RELIABILITY R8 %d clients that read a byte a second beside %d streams: %d MB more, p99 of the others %v beside and %v alone (×%.2f), all slow ones cut off: %s",
		readers, streams, grown>>20, beside.Round(time.Millisecond/10), alone.Round(time.Millisecond/10), float64(beside)/float64(alone), cut)
}
