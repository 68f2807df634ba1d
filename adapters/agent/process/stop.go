package process

import (
	"os"
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
		if !p.gone(afterInterrupt) {
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

// killAll kills the program and everything that it started, again and again,
// since one may start another while it is looked for.
func (p *process) killAll() {
	leader := p.cmd.Process.Pid
	_ = p.cmd.Process.Kill()
	for until := time.Now().Add(afterSIGKILL); ; <-time.After(time.Millisecond) {
		if kill(leader, p.mark) == 0 || time.Now().After(until) {
			return
		}
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
