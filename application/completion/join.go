package completion

import (
	"context"
	"sync"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/tenancy"
)

// streams are the keyed streams that run on this instance, so that a request
// that is repeated meanwhile can join the one that runs.
type streams struct {
	mu      sync.Mutex
	running map[streamKey]*stream

	quit    context.Context // ends with the service
	stopped context.CancelFunc
	work    sync.WaitGroup // what goes on beside them
}

func newStreams() *streams {
	a := &streams{running: make(map[streamKey]*stream)}
	a.quit, a.stopped = context.WithCancel(context.Background())
	return a
}

// stop ends those that nobody listens to here.
func (a *streams) stop() {
	a.stopped()
	a.work.Wait()
}

// streamKey is whose key it is, and what was asked with it.
type streamKey struct {
	org  tenancy.OrgID
	user tenancy.UserID
	key  idempotency.Key
	body [32]byte
}

// stream is one running answer with all who listen to it. Whoever needs the next
// event first takes it from the agent, for all: so none of them holds up the
// others, and no goroutine stands between. It lives on its own context, which
// ends when the last has left.
type stream struct {
	all    *streams
	key    streamKey
	linger time.Duration // it runs on for, when nobody listens any more
	cancel context.CancelCauseFunc
	begun  chan struct{} // closed when inner or failed is set
	inner  *Reply        // the answer itself
	failed error         // why there is none

	mu        sync.Mutex // guards what follows
	listeners int
	log       []chat.Event  // what was taken so far
	pulling   bool          // somebody takes the next event
	over      bool          // there will be no more
	err       error         // how it ended; nil: well
	grown     chan struct{} // closed when something of this changes; nil: nobody waits
	closed    bool
}

// open gives the running stream of the key, or a new one for its first listener.
func (a *streams) open(ctx context.Context, key streamKey, linger time.Duration) (s *stream, run context.Context, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.running[key]; s != nil && s.enter() {
		return s, nil, false
	}
	s = &stream{all: a, key: key, linger: linger, begun: make(chan struct{}), listeners: 1}
	run, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	a.running[key] = s
	return s, run, true
}

// remove lets nobody join the stream any more.
func (a *streams) remove(s *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running[s.key] == s {
		delete(a.running, s.key)
	}
}

// enter counts one more listener, unless the last has just left.
func (s *stream) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners == 0 {
		return false
	}
	s.listeners++
	return true
}

// join begins the stream of a keyed request, or joins the one that runs.
func (s *Service) join(ctx context.Context, cmd Command, linger time.Duration) (*Reply, error) {
	in := cmd.Caller.Scope()
	key := streamKey{in.Org(), in.User(), idempotency.NewKey(cmd.Route, cmd.Key), cmd.fingerprint()}
	st, run, first := s.streams.open(ctx, key, linger)
	heard, free := s.live.listen(ctx, callerOf(cmd.Caller))
	seat := &seat{stream: st, ctx: heard, free: free}
	seat.unwatch = context.AfterFunc(heard, func() { seat.leave(context.Cause(heard)) })
	if first {
		st.begin(func() (*Reply, error) { return s.begin(run, cmd) })
	}
	select {
	case <-st.begun:
	case <-heard.Done():
		seat.close()
		return nil, toldBy(heard, fault.Wrap(fault.Canceled, context.Cause(heard), "The client left before the answer began."))
	}
	switch {
	case st.failed != nil:
		seat.close()
		if linger > 0 && s.Tapes != nil && fault.Is(st.failed, fault.Conflict) {
			if r, ok, err := s.play(ctx, cmd, key); ok {
				return r, err
			}
		}
		return nil, st.failed
	case st.inner.Replayed: // it was done before; what was begun is the first's alone
		seat.close()
		if first {
			return st.inner, nil
		}
		return s.begin(ctx, cmd)
	}
	if cmd.Resume != "" && st.inner.Head.ID != cmd.Resume {
		seat.close()
		return nil, expired()
	}
	if first && linger > 0 && s.Tapes != nil {
		s.streams.work.Go(func() { st.record(run, s.Tapes.of(key)) })
	}
	reply := &Reply{Head: st.inner.Head, seat: seat}
	reply.Replayed = !first
	return reply, nil
}

// begin has the first listener begin the answer.
func (s *stream) begin(answer func() (*Reply, error)) {
	defer close(s.begun)
	s.failed = fault.Internalf("a stream was not begun")
	inner, err := answer()
	s.inner, s.failed = inner, err
	if err != nil || inner.Replayed {
		s.all.remove(s)
	}
}

// seat is one listener's place in a stream.
type seat struct {
	stream  *stream
	ctx     context.Context
	unwatch func() bool
	free    func() // gives up its caller's place among those who listen
	at      int    // how many events it was given
	over    bool   // it was told the end
	lonely  bool   // it stands for those who may come back

	left bool // guarded by the stream's mu
}

// next gives the listener's next event, as Reply.Next does.
func (l *seat) next() (chat.Event, error, bool) {
	s := l.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	for !l.over {
		switch {
		case l.at < len(s.log):
			e := s.log[l.at]
			l.at++
			e.More = l.at < len(s.log)
			return e, nil, true
		case s.over:
			l.over = true
			return chat.Event{}, s.err, s.err != nil
		case l.left: // another may be closing the answer
			l.over = true
			return chat.Event{}, toldBy(l.ctx, fault.Wrap(fault.Canceled, context.Cause(l.ctx), "The client left before the answer was complete.")), true
		case !s.pulling:
			s.pull()
		default:
			l.wait()
		}
	}
	return chat.Event{}, nil, false
}

// pull takes the next event from the agent, for all. It is called with mu held,
// which it gives up meanwhile.
func (s *stream) pull() {
	s.pulling = true
	s.mu.Unlock()
	var (
		e   chat.Event
		err = error(fault.Internalf("a completion panicked"))
		ok  = true
	)
	defer func() {
		if !ok || err != nil || e.Kind == chat.Finished {
			s.all.remove(s)
		}
		s.mu.Lock()
		s.pulling = false
		switch {
		case !ok:
			s.over = true
		case err != nil:
			s.over, s.err = true, err
		default:
			// It stands in the record that the answer keeps for replays, which only grows.
			s.log = s.inner.run.events[:len(s.log)+1]
			s.over = e.Kind == chat.Finished
		}
		if s.grown != nil {
			close(s.grown)
			s.grown = nil
		}
	}()
	e, err, ok = s.inner.Next()
}

// wait waits for what another takes, or until the listener leaves. It is called
// with mu held, which it gives up meanwhile.
func (l *seat) wait() {
	s := l.stream
	if s.grown == nil {
		s.grown = make(chan struct{})
	}
	grown := s.grown
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-grown:
	case <-l.ctx.Done():
		l.leave(context.Cause(l.ctx))
	}
}

// leave gives the place up. When the last has left, the run ends, or its place is kept
// for a while for who comes back.
func (l *seat) leave(why error) {
	s := l.stream
	s.mu.Lock()
	last := !l.left && s.listeners == 1
	if last && !l.lonely && !s.over && s.linger > 0 && s.all.quit.Err() == nil {
		last, l.left = false, true
		s.all.work.Go(s.alone) // which has the place now
	}
	if !l.left {
		l.left = true
		s.listeners--
	}
	s.mu.Unlock()
	if last {
		s.all.remove(s)
		s.cancel(why)
	}
}

// close gives the place up, and closes the answer behind the last listener, unless
// it is a replay, which the first reads without a seat. One who has left may still
// be waiting for the agent: that one comes here later.
func (l *seat) close() {
	l.unwatch()
	l.leave(context.Canceled)
	if l.free != nil {
		l.free()
	}
	s := l.stream
	s.mu.Lock()
	last := s.listeners == 0 && !s.pulling && !s.closed
	select {
	case <-s.begun:
	default:
		last = false // who begins it comes here, too
	}
	s.closed = s.closed || last
	s.mu.Unlock()
	if last && s.inner != nil && !s.inner.Replayed {
		s.inner.Close()
	}
}
