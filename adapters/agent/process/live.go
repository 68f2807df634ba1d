package process

import (
	"context"
	"time"
)

// Live is a program that stays: it is spoken to, and heard, until Stop. Its
// methods are safe for concurrent use.
type Live struct {
	runner *Runner
	p      *process
	stop   context.CancelFunc
	done   chan struct{}
	err    error
}

// Open starts a program that stays. hear gets its lines, borrowed until it
// returns, from one goroutine. ctx bounds the wait for the program's turn only.
// Of the limits, those of time do not hold.
func (r *Runner) Open(ctx context.Context, job Job, hear func(line []byte)) (*Live, error) {
	release, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	limits := r.o.Limits
	limits.Idle, limits.Total = 0, 0
	p, err := r.start(ctx, job, limits)
	if err != nil {
		release()
		return nil, err
	}
	life, stop := context.WithCancel(context.Background())
	l := &Live{runner: r, p: p, stop: stop, done: make(chan struct{})}
	go func() {
		defer release()
		_, err := p.lines(life, limits, func(line []byte, _ error) bool {
			hear(line)
			return true
		})
		p.stop(true)
		r.ended(life, p, err)
		l.err = err
		close(l.done)
	}()
	return l, nil
}

// sendLimit is how long a program may take no line.
const sendLimit = 5 * time.Second

// Send writes a line, with its end, to the program, which may then say as much
// again as the limits allow. A program that has gone or does not read fails in
// its own way.
func (l *Live) Send(line []byte) {
	l.p.output.Store(l.runner.o.Limits.Output)
	_ = l.p.stdin.SetWriteDeadline(time.Now().Add(sendLimit))
	_, _ = l.p.stdin.Write(line)
}

// Done is closed when the program has ended and all of it is gone.
func (l *Live) Done() <-chan struct{} { return l.done }

// Err is why it ended, once Done is closed: nil if it left by itself and well.
func (l *Live) Err() error { return l.err }

// Stop ends the program with everything that it started, within 2 s, and returns
// when it is gone.
func (l *Live) Stop() {
	l.stop()
	<-l.done
}
