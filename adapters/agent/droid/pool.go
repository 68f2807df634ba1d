package droid

import (
	"context"
	"sync"
	"time"

	"agentapi/adapters/agent/refusal"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// owner is whose a process is, for its whole life.
type owner struct {
	scope   tenancy.Scope
	session string
}

// pool bounds how many processes there are, and keeps those that wait for their
// session's next turn. The one that has waited longest makes room for another.
type pool struct {
	max  int
	idle time.Duration

	mu      sync.Mutex
	there   int // processes, those that start or end included
	waits   map[*program]bool
	changed chan struct{} // closed when there may be room
	closed  bool
	ends    sync.WaitGroup // processes that are being ended
}

func newPool(max int, idle time.Duration) *pool {
	return &pool{max: max, idle: idle, waits: make(map[*program]bool), changed: make(chan struct{})}
}

// roomLimit is how long a process may wait for room.
const roomLimit = 10 * time.Second

// room waits until there is room for another process, and takes it. leave gives
// it back.
func (l *pool) room(ctx context.Context) error {
	busy := fault.New(fault.Unavailable, "The agent has as much to do as it can.").WithCode("agent_overloaded").WithRetryAfter(time.Second)
	patience := time.NewTimer(roomLimit)
	defer patience.Stop()
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return fault.New(fault.Unavailable, "The agent stops.").WithCode("agent_unavailable")
		}
		if l.there < l.max {
			l.there++
			l.mu.Unlock()
			return nil
		}
		l.evict()
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-patience.C:
			return busy
		case <-ctx.Done():
			return refusal.Ended(ctx)
		}
	}
}

// evict ends the process that has waited longest, if any waits.
func (l *pool) evict() {
	var oldest *program
	for p := range l.waits {
		if oldest == nil || p.since.Before(oldest.since) {
			oldest = p
		}
	}
	if oldest != nil {
		l.end(oldest)
	}
}

// leave gives back the room of a process that has ended.
func (l *pool) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.there--
	l.change()
}

// count is how many processes work, or start or end, and how many wait.
func (l *pool) count() (running, idle int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.there - len(l.waits), len(l.waits)
}

func (l *pool) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// take gives the owner's process, which waits no more; nil where there is none.
func (l *pool) take(id owner) *program {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.waits {
		if p.owner == id {
			delete(l.waits, p)
			p.timer.Stop()
			return p
		}
	}
	return nil
}

// put has a process wait for its session's next turn.
func (l *pool) put(p *program) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.since = time.Now()
	l.waits[p] = true
	if l.closed {
		l.end(p)
		return
	}
	p.timer = time.AfterFunc(l.idle, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.waits[p] {
			l.end(p)
		}
	})
	l.change()
}

// end ends a process that waits, in the background. The caller holds mu.
func (l *pool) end(p *program) {
	delete(l.waits, p)
	if p.timer != nil {
		p.timer.Stop()
	}
	l.ends.Go(func() {
		p.close()
		l.leave()
	})
}

// close ends all that wait and joins those that are being ended. Turns that are
// under way end their own.
func (l *pool) close() {
	l.mu.Lock()
	l.closed = true
	for p := range l.waits {
		l.end(p)
	}
	l.change()
	l.mu.Unlock()
	l.ends.Wait()
}
