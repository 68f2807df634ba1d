package kit

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Balance gives what stands before servers that may come and go at their addresses: a
// plain TCP balancer, which hands each connection to the next of them that takes it.
// What is given can be sent requests, and nothing else.
func Balance(t testing.TB, servers ...*Server) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{open: make(map[net.Conn]struct{})}
	for _, s := range servers {
		b.addrs = append(b.addrs, strings.TrimPrefix(s.URL, "http://"))
	}
	b.all.Go(func() { b.serve(l) })
	t.Cleanup(func() {
		l.Close()
		b.end()
		b.all.Wait()
	})
	return &Server{URL: "http://" + l.Addr().String(), Logs: &Log{}, http: client(t)}
}

type balancer struct {
	addrs []string
	next  int // of addrs
	all   sync.WaitGroup

	mu    sync.Mutex
	open  map[net.Conn]struct{}
	ended bool
}

func (b *balancer) serve(l net.Listener) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		first := b.next
		b.next = (b.next + 1) % len(b.addrs)
		b.all.Go(func() {
			defer b.close(from)
			for i := range b.addrs {
				if to, err := net.DialTimeout("tcp", b.addrs[(first+i)%len(b.addrs)], time.Second); err == nil {
					b.join(from, to)
					return
				}
			}
		})
	}
}

// join passes on what both say until one of them ends.
func (b *balancer) join(from, to net.Conn) {
	defer b.close(to)
	if !b.keep(from) || !b.keep(to) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(from, to) // whichever breaks off, the other must be told
		b.close(from)
	})
	_, _ = io.Copy(to, from)
	b.close(to)
	back.Wait()
}

func (b *balancer) keep(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[c] = struct{}{}
	return !b.ended
}

func (b *balancer) close(c net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, c)
	c.Close()
}

func (b *balancer) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	for c := range b.open {
		c.Close()
	}
}
