// Package live tells a request's handler when its client has left. The HTTP
// library does not: its handlers run on for nobody, and so would the agents.
package live

import (
	"context"
	"net"
	"sync"
	"time"

	"agentapi/domain/fault"
)

// after is how long a request may run before its connection is watched. Most
// are over by then, and need no watcher.
const after = 5 * time.Millisecond

// errGone is the cause of contexts whose client has left.
var errGone error = fault.New(fault.Canceled, "The client closed the connection.").WithCode("client_closed_request")

// Context returns a context that ends when conn's client leaves, or with parent.
// stop ends it and must be called before the connection is used for anything
// but writing; when it returns, nothing touches the connection any more.
func Context(parent context.Context, conn net.Conn) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	w := &watcher{conn: conn, gone: func() { cancel(errGone) }}
	w.timer = time.AfterFunc(after, w.start)
	return ctx, func() {
		w.stop()
		cancel(nil)
	}
}

// watcher waits for the end of a connection in a goroutine of its own, which
// starts late and only where it is needed.
type watcher struct {
	conn  net.Conn
	gone  func()
	timer *time.Timer

	mu      sync.Mutex
	stopped bool
	quit    chan struct{} // closed by stop
	done    chan struct{} // closed when the goroutine has ended; nil before it starts
}

// glance is how often a connection is looked at whose end hides behind bytes that
// nobody reads yet.
const glance = 250 * time.Millisecond

func (w *watcher) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	w.quit, w.done = make(chan struct{}), make(chan struct{})
	// The server's deadline for reading the request still stands; beyond it the
	// connection would not be watched.
	_ = w.conn.SetReadDeadline(time.Time{})
	go func() {
		defer close(w.done)
		gone, pending := waitGone(w.conn)
		for pending && !gone {
			select {
			case <-w.quit:
				return
			case <-time.After(glance):
				gone = hungUp(w.conn)
			}
		}
		if gone {
			w.gone()
		}
	}()
}

func (w *watcher) stop() {
	w.timer.Stop()
	w.mu.Lock()
	first := !w.stopped
	w.stopped = true
	done := w.done
	w.mu.Unlock()
	if done == nil || !first {
		return
	}
	close(w.quit)
	select {
	case <-done:
	default:
		// A read that waits returns once its deadline is over.
		_ = w.conn.SetReadDeadline(time.Unix(1, 0))
		<-done
	}
	_ = w.conn.SetReadDeadline(time.Time{})
}
