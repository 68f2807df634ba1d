package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"sync"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Proxy is a network between a client and a server that fails as it is told.
type Proxy struct {
	Addr string

	t     testing.TB
	proxy *toxiproxy.Proxy
}

// Before puts a proxy before a server's address.
func Before(t testing.TB, addr string) *Proxy {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // parts of it log where nobody asked
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &Proxy{t: t, proxy: toxiproxy.NewProxy(api, "database", "127.0.0.1:0", addr)}
	if err := p.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.proxy.Stop)
	p.Addr = p.proxy.Listen
	return p
}

// Toxic spoils a direction (upstream is to the server) in one of toxiproxy's ways.
func (p *Proxy) Toxic(kind, direction string, attributes map[string]any) {
	p.t.Helper()
	text, err := json.Marshal(map[string]any{"type": kind, "stream": direction, "toxicity": 1, "attributes": attributes})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.proxy.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
		p.t.Fatal(err)
	}
}

// Down refuses connections and breaks those that are.
func (p *Proxy) Down() { p.proxy.Stop() }

// Mend has all be well again.
func (p *Proxy) Mend() {
	p.t.Helper()
	p.proxy.Toxics.ResetToxics(context.Background())
	if err := p.proxy.Start(); err != nil && err != toxiproxy.ErrProxyAlreadyStarted {
		p.t.Fatal(err)
	}
}

// Cutter is a network that breaks a connection in the middle of a message that
// holds a certain text: once for each time that it is told to.
type Cutter struct {
	Addr string

	mu   sync.Mutex
	text []byte
	lost bool  // the message does not arrive; else its answer does not
	late *late // the message arrives when the client has long gone; nil: at once, if at all
	Cuts int
}

// Cutting puts a cutter before a server's address.
func Cutting(t testing.TB, addr string) *Cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cutter{Addr: l.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				client.Close()
				continue
			}
			cut := make(chan struct{})
			both := func() { client.Close(); server.Close() }
			answered := make(chan struct{})
			all.Go(func() { defer both(); c.forth(client, server, cut, answered) })
			all.Go(func() { defer close(answered); defer both(); back(server, client, cut) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return c
}

// Cut breaks the next message that holds text: before it arrives, or after.
func (c *Cutter) Cut(text string, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text, c.lost = []byte(text), lost
}

// late is when a message arrives, and that it has been answered.
type late struct{ arrives, answered chan struct{} }

// Hold breaks the connection at the next message that holds text, which arrives all the
// same, when arrive is called; that returns when it has been answered.
func (c *Cutter) Hold(text string) (arrive func()) {
	l := &late{make(chan struct{}), make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text, c.lost, c.late = []byte(text), false, l
	return func() {
		close(l.arrives)
		<-l.answered
	}
}

func (c *Cutter) forth(client, server net.Conn, cut, answered chan struct{}) {
	b := make([]byte, 1<<20)
	for {
		n, err := client.Read(b)
		if err != nil {
			return
		}
		c.mu.Lock()
		hit, lost, late := c.text != nil && bytes.Contains(b[:n], c.text), c.lost, c.late
		if hit {
			c.text, c.late = nil, nil
			c.Cuts++
		}
		c.mu.Unlock()
		if hit && late != nil {
			client.Close()
			<-late.arrives
			_, _ = server.Write(b[:n])
			<-answered
			close(late.answered)
			return
		}
		if hit && lost {
			return
		}
		if hit {
			close(cut)
		}
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
	}
}

// back passes answers on until the connection is cut, and the next one with it.
func back(server, client net.Conn, cut chan struct{}) {
	b := make([]byte, 1<<20)
	for {
		n, err := server.Read(b)
		if err != nil {
			return
		}
		select {
		case <-cut:
			return
		default:
		}
		if _, err := client.Write(b[:n]); err != nil {
			return
		}
	}
}
