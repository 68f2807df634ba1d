package main

import (
	"fmt"
	"io"
	"time"

	"agentapi/adapters/storage/bunstore"
)

// meter shows how far a copy is: in one line that is written again and again on a
// terminal, and in a line now and then elsewhere.
type meter struct {
	out      io.Writer
	terminal bool
	begun    time.Time
	shown    time.Time
	rewrote  bool
}

func newMeter(out io.Writer) *meter {
	now := time.Now()
	return &meter{out: out, terminal: isTerminal(out), begun: now, shown: now}
}

// show tells of p, if it is time to.
func (m *meter) show(p bunstore.Progress) {
	every := 3 * time.Second
	if m.terminal {
		every = 100 * time.Millisecond
	}
	now := time.Now()
	if now.Sub(m.shown) < every {
		return
	}
	m.shown = now
	line := fmt.Sprintf("%d of %d rows (%d%%), %.0f rows/s, %s", p.Done, p.Total, 100*p.Done/max(p.Total, 1),
		float64(p.Added)/now.Sub(m.begun).Seconds(), p.Table)
	if m.terminal {
		m.rewrote = true
		fmt.Fprintf(m.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(m.out, line)
}

// end leaves the line.
func (m *meter) end() {
	if m.rewrote {
		fmt.Fprintln(m.out)
	}
}
