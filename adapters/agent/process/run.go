package process

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Job is one run's input.
type Job struct {
	Input     []byte // written to standard input, which then stays open
	Interrupt []byte // written there when the run is to end early; nil if the program knows no such word

	Args []string      // more arguments; nothing of a request may be among them
	For  tenancy.Scope // who it works for; zero: for all
	// Home and Work are folders that outlive the run; where empty, it has its own.
	Home, Work string
	Env        map[string]string // more of the environment
}

// Lines runs the program and yields its output line by line, without line ends.
// A line is borrowed until the next one is asked for. The sequence ends when
// the program has exited well; else its last element is a *fault.Error:
// Unavailable (agent_unavailable, agent_overloaded), Upstream (agent_error,
// agent_protocol_error), Timeout (agent_timeout) or Canceled. When it has ended,
// or was left, everything that the program started is gone, within 2 s.
func (r *Runner) Lines(ctx context.Context, job Job) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		release, err := r.enter(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		defer release()
		p, err := r.start(ctx, job, r.o.Limits)
		if err != nil {
			yield(nil, err)
			return
		}
		left, err := p.lines(ctx, r.o.Limits, yield)
		p.stop(left || ctx.Err() != nil)
		if left {
			r.ended(ctx, p, errLeft)
		} else {
			r.ended(ctx, p, err)
		}
		if !left && err != nil {
			yield(nil, err)
		}
	}
}

// enter waits for the run's turn.
func (r *Runner) enter(ctx context.Context) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	busy := fault.New(fault.Unavailable, "The agent has as much to do as it can.").WithCode("agent_overloaded").WithRetryAfter(time.Second)
	select {
	case r.waiting <- struct{}{}:
	default:
		return nil, busy
	}
	patience := time.NewTimer(r.o.Limits.QueueWait)
	defer patience.Stop()
	select {
	case r.running <- struct{}{}:
		return func() { <-r.running; <-r.waiting }, nil
	case <-patience.C:
		err = busy
	case <-ctx.Done():
		err = ended(ctx)
	}
	<-r.waiting
	return nil, err
}

// process is a program that runs.
type process struct {
	cmd                   *exec.Cmd
	mark, root            string
	stdin, stdout, stderr *os.File
	interrupt             []byte
	said                  ring
	pipes                 sync.WaitGroup // the goroutines that write stdin and read stderr
	exited                chan struct{}  // closed when the program itself has exited
	heard                 chan struct{}  // closed when its stderr has ended
	state                 error          // how, once exited is closed

	waitingSince atomic.Int64 // when the read that is under way began, in Unix nanoseconds; 0 if none is
	output       atomic.Int64 // bytes that it may still say
	mu           sync.Mutex
	why          error // why reading was ended before the program did
	family       family
	record       agent.Program
}

func (r *Runner) start(ctx context.Context, job Job, l Limits) (_ *process, err error) {
	p := &process{mark: newMark(), interrupt: job.Interrupt, exited: make(chan struct{}), heard: make(chan struct{}), family: family{known: map[int]string{}}}
	if p.root, err = os.MkdirTemp("", dirPrefix+p.mark+"-"); err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "The agent's program has no place to run in.").WithCode("agent_unavailable")
	}
	home, tmp, work := filepath.Join(p.root, "home"), filepath.Join(p.root, "tmp"), filepath.Join(p.root, "work")
	err = errors.Join(os.Mkdir(home, 0o700), os.Mkdir(tmp, 0o700), os.Mkdir(work, 0o700))
	home, work = cmp.Or(job.Home, home), cmp.Or(job.Work, r.o.Dir, work)
	// The programs' ends of the pipes; the Cmd hands them over as they are.
	var ends [3]*os.File
	for i, own := range []**os.File{&p.stdin, &p.stdout, &p.stderr} {
		read, write, e := os.Pipe()
		if err = errors.Join(err, e); i == 0 {
			read, write = write, read
		}
		*own, ends[i] = read, write
	}
	defer func() {
		for _, f := range ends {
			err = errors.Join(err, ignoreClosed(f))
		}
		if err != nil {
			p.close()
		}
	}()
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "The agent's program cannot be started now.").WithCode("agent_unavailable")
	}
	p.cmd = exec.Command(r.o.Command[0], slices.Concat(r.o.Command[1:], job.Args)...)
	p.cmd.Env = environment(home, tmp, p.mark, r.o.Env, job.Env)
	p.cmd.Dir = work
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = ends[0], ends[1], ends[2]
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := r.starting(ctx, p, job.For, l); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		err = missing(err)
		r.ended(ctx, p, err)
		return nil, err
	}
	limit(p.cmd.Process.Pid)
	go func() {
		p.state = p.cmd.Wait()
		close(p.exited)
	}()
	p.pipes.Go(func() { _, _ = p.stdin.Write(job.Input) }) // a program that does not read fails in its own way
	p.pipes.Go(func() {
		defer close(p.heard)
		_, _ = io.Copy(&p.said, p.stderr)
	})
	return p, nil
}

func ignoreClosed(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

// environment is made from nothing.
func environment(home, tmp, mark string, more ...map[string]string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + tmp, "LANG=C.UTF-8"}
	for _, vars := range more {
		for name, value := range vars {
			env = append(env, name+"="+value)
		}
	}
	return append(env, marker+"="+mark)
}

// end ends the reading, for the first reason that is given.
func (p *process) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == nil {
		p.why = why
	}
	_ = p.stdout.SetReadDeadline(time.Unix(1, 0))
}

func (p *process) reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why
}

var errTooMuch = errors.New("more output than allowed")

// Read reads the program's output and counts it.
func (p *process) Read(b []byte) (int, error) {
	const drain = 100 * time.Millisecond
	p.waitingSince.Store(time.Now().UnixNano())
	n, err := p.stdout.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) && p.reason() == nil {
		// The program has exited, but something of it still holds the pipe: take what is there.
		_ = p.stdout.SetReadDeadline(time.Now().Add(drain))
		if n, err = p.stdout.Read(b); errors.Is(err, os.ErrDeadlineExceeded) {
			err = io.EOF
		}
	}
	p.waitingSince.Store(0)
	if p.output.Add(int64(-n)) < 0 {
		return n, errTooMuch
	}
	return n, err
}

// lines yields the lines and says whether the reader left, or what went wrong. A
// program that stays has no limits of time: Idle and Total are 0.
func (p *process) lines(ctx context.Context, l Limits, yield func([]byte, error) bool) (left bool, err error) {
	p.output.Store(l.Output)
	defer context.AfterFunc(ctx, func() { p.end(ended(ctx)) })()
	if l.Total > 0 {
		defer time.AfterFunc(l.Total, func() { p.end(tooSlow("the whole run took too long")) }).Stop()
	}
	if l.Idle > 0 {
		defer p.watchSilence(l.Idle)()
	}
	p.pipes.Go(func() {
		<-p.exited
		p.killAll() // what it left behind would keep the pipe open
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.why == nil {
			_ = p.stdout.SetReadDeadline(time.Unix(1, 0))
		}
	})

	lines := bufio.NewScanner(p)
	lines.Buffer(make([]byte, 0, min(4096, l.Line)), l.Line)
	lines.Split(p.split)
	for lines.Scan() {
		if why := p.reason(); why != nil {
			return false, why
		}
		if !yield(lines.Bytes(), nil) {
			return true, nil
		}
	}
	if why := p.reason(); why != nil {
		return false, why
	}
	if err := lines.Err(); err != nil {
		return false, Garbled(err)
	}
	return false, p.exit(ctx)
}

// split cuts lines. A rest without a line end is a line if the program exited
// well, and the trace of a crash otherwise.
func (p *process) split(data []byte, atEOF bool) (int, []byte, error) {
	if atEOF && len(data) > 0 && bytes.IndexByte(data, '\n') < 0 {
		select {
		case <-p.exited:
			if p.state != nil {
				return len(data), nil, nil
			}
		case <-time.After(exitPatience):
		}
	}
	return bufio.ScanLines(data, atEOF)
}

// exitPatience is how long a program may live on after it closed its output.
const exitPatience = 500 * time.Millisecond

// exit waits for the program's exit and says how it was.
func (p *process) exit(ctx context.Context) error {
	const lastWords = 100 * time.Millisecond // something else may hold the pipe open
	patience := time.NewTimer(exitPatience)
	defer patience.Stop()
	select {
	case <-p.exited:
		if p.state == nil {
			return nil
		}
		select { // its last words may still be on their way
		case <-p.heard:
		case <-time.After(lastWords):
		}
		return died(p.state, p.said.tail())
	case <-ctx.Done():
		return ended(ctx)
	case <-patience.C:
		return Garbled(errors.New("the program closed its output and lives on"))
	}
}

// watchSilence ends the reading when one read takes longer than idle. The timer
// looks at the clock now and then, so that a line costs nothing.
func (p *process) watchSilence(idle time.Duration) (stop func() bool) {
	var timer *time.Timer
	armed := make(chan struct{})
	timer = time.AfterFunc(idle, func() {
		<-armed
		left := idle
		if since := p.waitingSince.Load(); since != 0 {
			left -= time.Since(time.Unix(0, since))
		}
		if left <= 0 {
			p.end(tooSlow("it was silent for too long"))
			return
		}
		timer.Reset(left)
	})
	close(armed)
	return timer.Stop
}
