package openai

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"agentapi/adapters/http/request"
	"agentapi/application/completion"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// body is a streaming answer as the HTTP server reads it: each Read pulls the
// next events and renders them, and the server writes and flushes what it got
// before it reads again. So the whole stream runs in the connection's own
// goroutine, without a pipe or a channel, and a client that does not read holds
// up the agent.
//
// While Read waits for an event nothing is buffered in the server; that is when
// the heartbeat writes its comment straight to the connection.
type body struct {
	reply *completion.Reply
	enc   *encoder
	conn  net.Conn
	ctx   context.Context // the request's, which ends when the client leaves or the server stops
	end   func()          // joins the watcher and ends ctx
	stall time.Duration   // how long a write may make no progress
	beat  time.Duration   // between heartbeats; 0: none
	err   func(error)     // is told what ended the stream early

	rest     []byte // rendered and not yet read
	over     bool
	reads    int
	deadline time.Time // the connection's write deadline

	mu      sync.Mutex // serialises the heartbeat with what follows it
	waiting bool       // Read waits for an event and all before it is written
	timer   *time.Timer
	wrote   time.Time // when Read last returned or the heartbeat last beat
}

var _ io.ReadCloser = (*body)(nil)

// Read gives the next piece of the stream.
func (b *body) Read(p []byte) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = copy(p, b.broke(fault.Internalf("panic in a stream: %v", r))), nil
		}
	}()
	b.reads++
	if len(b.rest) == 0 {
		if b.over {
			return 0, io.EOF
		}
		b.rest = b.render(p[:0])
		if len(b.rest) == 0 {
			return 0, io.EOF
		}
	}
	n = copy(p, b.rest)
	b.rest = b.rest[n:]
	b.progress()
	return n, nil
}

// render appends events to buf until the next would have to be waited for.
func (b *body) render(buf []byte) []byte {
	for {
		b.wait(true)
		e, err, ok := b.reply.Next()
		b.wait(false)
		switch {
		case !ok:
			b.over = true
			return buf
		case err != nil:
			return append(buf, b.broke(err)...)
		}
		buf = b.enc.event(buf, &e)
		if e.Kind == chat.Finished {
			b.over = true
			return buf
		}
		if len(buf) > 0 && (!e.More || len(buf) > 3<<10) {
			return buf
		}
	}
}

// broke renders the error that ends the stream. A stream that ends because the
// server stops says so.
func (b *body) broke(err error) []byte {
	b.over = true
	b.err(err)
	if errors.Is(context.Cause(b.ctx), request.ErrShutdown) {
		err = request.ErrShutdown
	}
	return b.enc.fail(nil, err)
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

// wait says whether Read waits for an event. The answer's header is written
// with the first piece, so there is no heartbeat before the second.
func (b *body) wait(on bool) {
	if b.beat <= 0 || b.reads < 2 {
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
