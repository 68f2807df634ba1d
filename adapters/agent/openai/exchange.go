package openai

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"agentapi/adapters/agent/refusal"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// exchange is one request and its answer on a connection of its own.
type exchange struct {
	pool   *pool
	conn   *conn
	ctx    context.Context
	head   *fasthttp.ResponseHeader // the connection's: it is not to be read after the end
	detach func() bool              // stops minding ctx; false when ctx has ended the connection
	body   io.Reader
	sized  io.LimitedReader // the body, where its length is known
	read   bool             // the body was read to its end
}

var errStale = errors.New("the connection had been closed")

// send sends a request and reads the answer's head. The caller must end the
// exchange.
func (a *Agent) send(ctx context.Context, method, path string, body func([]byte) []byte) (*exchange, error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	text := buffers.Get().(*[]byte)
	defer giveBack(text)
	*text = a.request((*text)[:0], method, path, ports.Traceparent(ctx), body)
	x, err := a.attempt(ctx, *text, false)
	if errors.Is(err, errStale) {
		// The upstream closed an idle connection just as we used it: it has not
		// seen the request.
		x, err = a.attempt(ctx, *text, true)
	}
	if err != nil && fault.As(err) == nil {
		err = fault.Wrap(fault.Upstream, err, "The agent's upstream closed the connection without an answer.").WithCode("upstream_error")
	}
	return x, err
}

// maxPooled is the largest buffer that is kept for other requests.
const maxPooled = 256 << 10

// buffers hold requests while they are written, and answers while they are read. Larger
// ones are left to the collector.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

func giveBack(b *[]byte) {
	if cap(*b) <= maxPooled {
		buffers.Put(b)
	}
}

// request renders a request, head and body in one piece.
func (a *Agent) request(b []byte, method, path, trace string, body func([]byte) []byte) []byte {
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, a.base.EscapedPath()...)
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = append(b, a.head...)
	b = append(b, "User-Agent: agentapi\r\n"...)
	if trace != "" {
		b = append(append(append(b, "Traceparent: "...), trace...), "\r\n"...)
	}
	if body == nil {
		return append(b, "Accept: application/json\r\n\r\n"...)
	}
	b = append(b, "Content-Type: application/json\r\nContent-Length: "...)
	at := len(b)
	b = append(b, "          \r\n\r\n"...) // the number takes its place at the end of the spaces
	from := len(b)
	b = body(b)
	n := strconv.Itoa(len(b) - from)
	copy(b[at+10-len(n):], n)
	return b
}

func (a *Agent) attempt(ctx context.Context, text []byte, fresh bool) (*exchange, error) {
	c, err := a.pool.get(ctx, fresh)
	if err != nil {
		return nil, err
	}
	x := &exchange{pool: a.pool, conn: c, ctx: ctx, head: &c.head, detach: context.AfterFunc(ctx, c.abort)}
	_, writing := c.Write(text)
	if writing != nil {
		// The upstream may have refused before it had read all; its answer counts.
		_ = c.SetReadDeadline(time.Now().Add(refusalLimit))
		x.head.SetConnectionClose()
	}
	answered := false // by a first head, so that the request has been seen
	err = c.readHead()
	for err == nil && x.head.StatusCode() >= 100 && x.head.StatusCode() < 200 {
		answered = true
		err = c.readHead()
	}
	if err != nil && writing != nil {
		err = writing
	} else if writing != nil {
		x.head.SetConnectionClose()
	}
	if err != nil {
		x.end()
		if ctx.Err() != nil {
			return nil, ended(ctx)
		}
		if c.reused && !answered && c.br.Buffered() == 0 {
			return nil, errStale
		}
		return nil, err
	}
	switch n := x.head.ContentLength(); {
	case x.head.StatusCode() == http.StatusNoContent:
		x.body = http.NoBody
	case n >= 0:
		x.sized = io.LimitedReader{R: c.br, N: int64(n)}
		x.body = &x.sized
	case n == -1:
		x.body = httputil.NewChunkedReader(c.br)
	default:
		x.body = c.br // until the upstream closes
		x.head.SetConnectionClose()
	}
	return x, nil
}

// end gives the connection back if the answer was read to its end, and closes it
// otherwise.
func (x *exchange) end() {
	if x.detach() && x.read && !x.head.ConnectionClose() {
		x.pool.put(x.conn)
		return
	}
	x.conn.drop()
}

// refusalLimit is how long an upstream has to say why it takes no request.
const refusalLimit = time.Second

// all appends the rest of the body, which may have limit bytes, to b, which is empty.
func (x *exchange) all(b []byte, limit int) ([]byte, error) {
	n := x.head.ContentLength()
	if n > limit {
		return b, tooMuch()
	}
	var err error
	if n >= 0 {
		b = slices.Grow(b, n)[:n]
		_, err = io.ReadFull(x.body, b)
	} else {
		whole := bytes.NewBuffer(b)
		_, err = whole.ReadFrom(io.LimitReader(x.body, int64(limit)+1))
		if b = whole.Bytes(); err == nil && len(b) > limit {
			return b, tooMuch()
		}
	}
	if err != nil {
		return b, x.broken(err)
	}
	x.read = x.head.ContentLength() != -1 || x.trailer()
	return b, nil
}

// restLimit is how long the end of a body's coding may take after its answer.
const restLimit = 50 * time.Millisecond

// trailer reads the empty line after the last chunk and tells whether the
// connection can be used again. The answer is complete without it.
func (x *exchange) trailer() bool {
	if x.conn.SetReadDeadline(time.Now().Add(restLimit)) != nil {
		return false
	}
	line, err := x.conn.br.ReadSlice('\n')
	return err == nil && len(line) <= 2 && x.conn.SetReadDeadline(time.Time{}) == nil
}

// refusal makes a fault of an answer with an error status.
func (a *Agent) refusal(x *exchange) error {
	body, err := x.all(nil, 1<<20)
	if err != nil {
		body = nil // the status says enough
	}
	return refusal.Fault(refusal.Answer{
		Status: x.head.StatusCode(), Header: func(name string) string { return string(x.head.Peek(name)) }, Body: body, Hide: a.hide,
	})
}

func tooMuch() error {
	return fault.New(fault.Upstream, "The agent's upstream sent more than can be an answer.").WithCode("upstream_error")
}

// broken says why an answer could not be read to its end.
func (x *exchange) broken(err error) error {
	if x.ctx.Err() != nil {
		return ended(x.ctx)
	}
	return fault.Wrap(fault.Upstream, err, "The agent's upstream broke off in the middle of its answer.").WithCode("upstream_error")
}

// get reads a small resource of the upstream's.
func (a *Agent) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, getLimit)
	defer cancel()
	x, err := a.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer x.end()
	if x.head.StatusCode() != http.StatusOK {
		return nil, a.refusal(x)
	}
	return x.all(nil, 8<<20)
}

// lines are readers of event streams, pooled since each stream needs one.
var lines = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 2<<10) }}
