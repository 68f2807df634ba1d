package openai

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http/httpproxy"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
)

// How connections are made and kept.
const (
	dialLimit = 10 * time.Second
	idleLimit = 55 * time.Second // below the minute that many servers allow
	buffer    = 4 << 10          // what each connection holds
	maxHead   = 64 << 10         // an answer's head must fit
)

// pool keeps connections to one upstream. It exists because the fast client of
// our HTTP library cannot be told that a request is not wanted any more, and
// closing the upstream's connection is how it learns that.
type pool struct {
	host  string // host:port
	tls   *tls.Config
	proxy func(*url.URL) (*url.URL, error)
	base  *url.URL
	max   int

	mu     sync.Mutex
	idle   []*conn // the most recently used last
	prune  *time.Timer
	closed bool
}

type conn struct {
	net.Conn
	br     *bufio.Reader
	head   fasthttp.ResponseHeader // of the answer that is being read
	ear    *ear
	abort  func() // has the reader and writer return at once, and the upstream see us go
	reused bool
	since  time.Time // when it became idle
}

func newConn(nc net.Conn) *conn {
	c := &conn{Conn: nc, br: bufio.NewReaderSize(nc, buffer), ear: listen(nc)}
	c.abort = func() {
		_ = c.SetDeadline(time.Unix(1, 0))
		c.drop()
	}
	return c
}

// readHead reads an answer's head. One that is larger than the buffer is given
// another.
func (c *conn) readHead() error {
	err := c.head.Read(c.br)
	if _, small := errors.AsType[*fasthttp.ErrSmallBuffer](err); !small || c.br.Size() >= maxHead {
		return err
	}
	come, err := c.br.Peek(c.br.Buffered())
	if err != nil {
		return err
	}
	c.br = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(come), c.Conn), maxHead)
	return c.head.Read(c.br)
}

// drop closes the connection at once. TLS would say good-bye first, and wait for
// a peer that does not read.
func (c *conn) drop() {
	if t, ok := c.Conn.(*tls.Conn); ok {
		_ = t.NetConn().Close()
		return
	}
	_ = c.Conn.Close()
}

func newPool(base *url.URL, max int) *pool {
	p := &pool{base: base, max: max, proxy: httpproxy.FromEnvironment().ProxyFunc()}
	port := base.Port()
	if base.Scheme == "https" {
		p.tls = &tls.Config{
			ServerName: base.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		}
		if port == "" {
			port = "443"
		}
	} else if port == "" {
		port = "80"
	}
	p.host = net.JoinHostPort(base.Hostname(), port)
	return p
}

// get gives a connection: an idle one that is alive, or a new one. fresh demands
// a new one.
func (p *pool) get(ctx context.Context, fresh bool) (*conn, error) {
	for !fresh {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			break
		}
		c := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		// However short it was idle: bytes that came after an answer would be taken
		// for the answer to the next request, which may be another tenant's.
		if c.ear.quiet() {
			c.reused = true
			return c, nil
		}
		c.drop()
	}
	nc, err := p.dial(ctx)
	if err != nil {
		return nil, p.unreachable(ctx, err)
	}
	return newConn(nc), nil
}

// put takes back a connection whose answer was read to its end.
func (p *pool) put(c *conn) {
	if c.br.Buffered() > 0 {
		c.drop() // what came after the answer belongs to nothing
		return
	}
	c.since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.max {
		c.drop()
		return
	}
	p.idle = append(p.idle, c)
	if p.prune == nil {
		p.prune = time.AfterFunc(idleLimit, p.pruneIdle)
	}
}

// pruneIdle closes what has been idle for too long.
func (p *pool) pruneIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	old, now := 0, time.Now()
	for old < len(p.idle) && now.Sub(p.idle[old].since) >= idleLimit {
		p.idle[old].drop()
		old++
	}
	p.idle = append(p.idle[:0], p.idle[old:]...)
	if len(p.idle) == 0 || p.closed {
		p.prune = nil
		return
	}
	p.prune.Reset(max(time.Second, idleLimit-now.Sub(p.idle[0].since)))
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.prune != nil {
		p.prune.Stop()
	}
	for _, c := range p.idle {
		c.drop()
	}
	p.idle = nil
}

func (p *pool) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	var d net.Dialer
	via, err := p.proxy(p.base)
	if err != nil {
		return nil, err
	}
	host := p.host
	if via != nil {
		if via.Scheme != "http" {
			return nil, fmt.Errorf("a proxy of kind %q, of which only http is supported", via.Scheme)
		}
		if host = via.Host; via.Port() == "" {
			host = net.JoinHostPort(via.Hostname(), "80")
		}
	}
	nc, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if via != nil {
		if err := p.tunnel(ctx, nc, via); err != nil {
			nc.Close()
			return nil, err
		}
	}
	if p.tls == nil {
		return nc, nil
	}
	secure := tls.Client(nc, p.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return secure, nil
}

// tunnel asks a proxy for a way through.
func (p *pool) tunnel(ctx context.Context, nc net.Conn, via *url.URL) error {
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	if deadline, ok := ctx.Deadline(); ok {
		if err := nc.SetDeadline(deadline); err != nil {
			return err
		}
	}
	auth := ""
	if via.User != nil {
		password, _ := via.User.Password()
		auth = "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(via.User.Username()+":"+password)) + "\r\n"
	}
	if _, err := fmt.Fprintf(nc, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", p.host, p.host, auth); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(oneByte{nc}, 1), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the proxy answered %d", resp.StatusCode)
	}
	return nc.SetDeadline(time.Time{})
}

// oneByte reads no further than it is asked, so that nothing of what follows
// the proxy's answer is lost.
type oneByte struct{ net.Conn }

func (o oneByte) Read(b []byte) (int, error) { return o.Conn.Read(b[:min(1, len(b))]) }

// unreachable says why there is no connection.
func (p *pool) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	f := fault.Wrap(fault.Unavailable, fmt.Errorf("%w: %w", agent.ErrUnreached, err), "The agent's upstream cannot be reached.").WithCode("agent_unavailable")
	var (
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		timeout net.Error
	)
	switch {
	case errors.As(err, &dns):
		return f.WithHint("The host name of base_url cannot be resolved.")
	case errors.As(err, &cert):
		return f.WithHint("The upstream's certificate is not trusted here.")
	case errors.As(err, &timeout) && timeout.Timeout():
		return f.WithHint("The upstream does not answer; check base_url and the network between.")
	default:
		return f.WithHint("Check that the upstream runs and that base_url is right.")
	}
}

// ended is the fault of a context that has ended.
func ended(ctx context.Context) error {
	if f := fault.As(context.Cause(ctx)); f != nil {
		return f
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.Wrap(fault.Timeout, context.Cause(ctx), "The time for the answer was up.")
	}
	return fault.Wrap(fault.Canceled, context.Cause(ctx), "The request was cancelled.")
}
