package openai

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"agentapi/adapters/http/request"
	"agentapi/application/completion"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// body is a streaming answer that the HTTP server has write itself: WriteTo pulls the
// next events, renders them and writes them at once. So the whole stream runs in the
// connection's own goroutine, without a pipe or a channel, and a client that does not
// read holds up the agent.
//
// While it waits for an event it holds no buffer and nothing is buffered in the
// server; that is when the heartbeat writes its comment straight to the connection.
type body struct {
	reply *completion.Reply
	enc   *encoder
	conn  net.Conn
	ctx   context.Context // the request's, which ends when the client leaves or the server stops
	end   func()          // joins the watcher and ends ctx
	stall time.Duration   // how long a write may make no progress
	beat  time.Duration   // between heartbeats; 0: none
	err   func(error)     // is told what ended the stream early

	over     bool
	begun    bool      // the answer's head and its first piece are written
	deadline time.Time // the connection's write deadline

	mu      sync.Mutex // serialises the heartbeat with what follows it
	waiting bool       // the next event is waited for and all before it is written
	timer   *time.Timer
	wrote   time.Time // when a piece was last ready or the heartbeat last beat
}

var (
	_ fasthttp.BodyWriterTo = (*body)(nil)
	_ io.ReadCloser         = (*body)(nil)
)

// SupportsBodyWriteTo has the server call WriteTo.
func (b *body) SupportsBodyWriteTo() bool { return true }

// Read fails: the stream is not there to be read.
func (b *body) Read([]byte) (int, error) { return 0, errors.ErrUnsupported }

// WriteTo writes the stream to its end: its first piece to w, behind the answer's head,
// and the others straight to the connection.
func (b *body) WriteTo(w io.Writer) (n int64, err error) {
	for !b.over && err == nil {
		piece := b.render()
		if piece == nil {
			continue
		}
		var k int
		if text := *piece; len(text) > room {
			if b.begun {
				k, err = b.write(b.conn, framed(text))
			} else {
				k, err = b.write(w, text[room:])
			}
			b.begun = true
		}
		n += int64(k)
		if cap(*piece) <= maxPiece {
			pieces.Put(piece)
		}
	}
	return n, err
}

// write writes a text in parts, each of which has its time: a client who takes a long one
// slowly takes something.
func (b *body) write(w io.Writer, text []byte) (n int, err error) {
	for n < len(text) && err == nil {
		b.progress()
		var k int
		k, err = w.Write(text[n:min(n+part, len(text))])
		n += k
	}
	return n, err
}

const (
	room     = len("ffffffff\r\n") // before each piece, for its length
	maxPiece = 32 << 10            // that is kept for other pieces
	part     = 32 << 10            // that is written at once
)

// pieces hold what is rendered until it is written.
var pieces = sync.Pool{New: func() any { b := make([]byte, room, 4<<10); return &b }}

// framed makes one of HTTP's chunks of a piece that has room before it.
func framed(text []byte) []byte {
	at := room - len("\r\n")
	copy(text[at:], "\r\n")
	for n := len(text) - room; n > 0; n >>= 4 {
		at--
		text[at] = "0123456789abcdef"[n&15]
	}
	return append(text, "\r\n"...)[at:]
}

// render renders events until the next would have to be waited for; nil where there are
// no more.
func (b *body) render() (piece *[]byte) {
	defer func() {
		if r := recover(); r != nil {
			piece = b.broke(piece, fault.Internalf("panic in a stream: %v", r))
		}
	}()
	for {
		b.wait(true)
		e, err, ok := b.reply.Next()
		b.wait(false)
		switch {
		case !ok:
			b.over = true
			return piece
		case err != nil:
			return b.broke(piece, err)
		}
		if piece == nil {
			piece = blank()
		}
		*piece = b.enc.event(*piece, &e)
		if e.Kind == chat.Finished {
			b.over = true
			return piece
		}
		if n := len(*piece); n > room && (!e.More || n > 3<<10) {
			return piece
		}
	}
}

// blank is a piece with nothing in it.
func blank() *[]byte {
	piece := pieces.Get().(*[]byte)
	*piece = (*piece)[:room]
	return piece
}

// broke renders the error that ends the stream, behind what comes before it. A stream
// that ends because the server stops says so.
func (b *body) broke(piece *[]byte, err error) *[]byte {
	b.over = true
	b.err(err)
	if errors.Is(context.Cause(b.ctx), request.ErrShutdown) {
		err = request.ErrShutdown
	}
	if piece == nil {
		piece = blank()
	}
	*piece = b.enc.fail(*piece, err)
	return piece
}

// progress moves the write deadline on, now and then.
func (b *body) progress() {
	now := time.Now()
	if b.deadline.Sub(now) < b.stall*3/4 {
		b.deadline = now.Add(b.stall)
		// A connection that is gone says so at the write that follows.
		_ = b.conn.SetWriteDeadline(b.deadline)
	}
	b.mu.Lock()
	b.wrote = now
	b.mu.Unlock()
}

// wait says whether the next event is waited for. The answer's head is written with the
// first piece, so there is no heartbeat before the second.
func (b *body) wait(on bool) {
	if b.beat <= 0 || !b.begun {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = on
	if on && b.timer == nil {
		b.timer = time.AfterFunc(b.beat, b.heartbeat)
	}
}

// ping is the heartbeat, in a chunk of its own.
const ping = "8\r\n: ping\n\n\r\n"

func (b *body) heartbeat() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer == nil {
		return // closed
	}
	now := time.Now()
	if idle := now.Sub(b.wrote); idle < b.beat {
		b.timer.Reset(b.beat - idle)
		return
	}
	if b.waiting {
		_ = b.conn.SetWriteDeadline(now.Add(b.stall))
		if _, err := io.WriteString(b.conn, ping); err != nil {
			b.timer = nil
			return // the watcher or the next write sees that the client is gone
		}
		b.wrote = now
	}
	b.timer.Reset(b.beat)
}

// Close ends the answer; the server calls it when the stream is written or
// cannot be.
func (b *body) Close() error {
	b.mu.Lock()
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	b.mu.Unlock()
	b.reply.Close()
	b.end()
	return nil
}
