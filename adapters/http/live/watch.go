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
const after = 50 * time.Millisecond

// errGone is the cause of contexts whose client has left.
var errGone error = fault.New(fault.Canceled, "The client closed the connection.").WithCode("client_closed_request")

// Watch waits for the end of a connection in a goroutine of its own, which
// starts late and only where it is needed.
type Watch struct {
	conn   net.Conn
	cancel context.CancelCauseFunc
	timer  *time.Timer

	mu      sync.Mutex
	stopped bool
	quit    chan struct{} // closed by Stop
	done    chan struct{} // closed when the goroutine has ended; nil before it starts
}

// watches are those whose goroutine never started, and whose timer cannot start it any more.
var watches sync.Pool

// Context returns a context that ends when conn's client leaves, or with parent,
// or with the watch.
func Context(parent context.Context, conn net.Conn) (context.Context, *Watch) {
	ctx, cancel := context.WithCancelCause(parent)
	w, again := watches.Get().(*Watch)
	if !again {
		w = new(Watch)
	}
	w.conn, w.cancel = conn, cancel
	if again {
		w.timer.Reset(after)
	} else {
		w.timer = time.AfterFunc(after, w.start)
	}
	return ctx, w
}

// glance is how often a connection is looked at whose end hides behind bytes that
// nobody reads yet.
const glance = 250 * time.Millisecond

// End is what ends the context for another reason; later it does nothing.
func (w *Watch) End() context.CancelCauseFunc { return w.cancel }

func (w *Watch) start() {
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
			w.cancel(errGone)
		}
	}()
}

// Stop ends the context. It must be called once, before the connection is used for
// anything but writing; when it returns, nothing touches the connection any more.
func (w *Watch) Stop() {
	w.cancel(nil)
	if w.timer.Stop() {
		w.conn, w.cancel = nil, nil
		watches.Put(w)
		return
	}
	w.mu.Lock()
	w.stopped = true
	done := w.done
	w.mu.Unlock()
	if done == nil {
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
