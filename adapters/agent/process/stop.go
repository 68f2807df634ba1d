package process

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// How long a program has to end after each step; with the last, killing, all is
// over within 2 s.
const (
	afterInterrupt = 400 * time.Millisecond
	afterSIGINT    = 800 * time.Millisecond
	afterSIGKILL   = 500 * time.Millisecond
)

// stop ends whatever still runs, politely at first if asked, and gives back all
// that the run held.
func (p *process) stop(politely bool) {
	_ = p.stdin.SetWriteDeadline(time.Now().Add(afterInterrupt / 4))
	if politely && !p.gone(0) {
		if p.interrupt != nil {
			_, _ = p.stdin.Write(p.interrupt)
		}
		_ = p.stdin.Close()
		p.look()
		if !p.gone(afterInterrupt) {
			p.look()
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT)
			p.gone(afterSIGINT)
		}
	}
	p.killAll()
	<-p.exited
	now := time.Now()
	_ = p.stderr.SetReadDeadline(now.Add(afterSIGKILL / 10))
	_ = p.stdin.Close()
	p.pipes.Wait()
	p.close()
}

// gone waits at most d for the program's exit.
func (p *process) gone(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		select {
		case <-p.exited:
			return true
		default:
			return false
		}
	}
}

// family is everything that a program started, as far as it has been seen.
type family struct {
	mu    sync.Mutex
	known map[int]string // process ids and when these began, so that a number used again is safe
}

// look adds what is there now. Parents that exit take the knowledge of their
// children along, so it is asked before the program is made to exit.
func (p *process) look() {
	p.family.mu.Lock()
	defer p.family.mu.Unlock()
	leader := p.cmd.Process.Pid
	if p.gone(0) {
		leader = 0 // the number may be another's by now
	}
	look(leader, p.mark, p.family.known)
}

// killFamily kills what is known and says whether any of it was alive.
func (p *process) killFamily() (alive bool) {
	p.family.mu.Lock()
	defer p.family.mu.Unlock()
	for pid, began := range p.family.known {
		alive = end(pid, began) || alive
	}
	return alive
}

// killAll kills the program and everything that it started, again and again,
// since one may start another while it is looked for.
func (p *process) killAll() {
	p.look()
	if !p.gone(0) {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	for until := time.Now().Add(afterSIGKILL); (p.killFamily() || !p.gone(0)) && time.Now().Before(until); <-time.After(time.Millisecond) {
		p.look()
	}
}

// close gives back files and folders.
func (p *process) close() {
	for _, f := range []*os.File{p.stdin, p.stdout, p.stderr} {
		if f != nil {
			_ = f.Close()
		}
	}
	_ = os.RemoveAll(p.root)
}
