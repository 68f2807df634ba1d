// Package clock gives programs that tests start a clock of their own, which a test
// moves: Debian's faketime tells them another time. It does nothing to programs in Go.
package clock

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"agentapi/test/debian"
)

// Clock is the time of some programs. What they measure of time that passes is right.
type Clock struct{ file, library string }

// New makes a clock that is right. It skips the test as a missing server would.
func New(t testing.TB) *Clock {
	t.Helper()
	_, err := debian.Need{Programs: []string{"faketime"}, Packages: []string{"faketime"}, Dirs: func() []string { return []string{"/usr/bin"} }}.Folder()
	if err != nil {
		debian.Unavailable(t, err, "no variable")
	}
	libraries, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1") // the pattern is right
	if len(libraries) == 0 {
		t.Fatal("faketime has come without its library")
	}
	dir, err := os.MkdirTemp("", "agentapi-clock-") // which servers that run as somebody else may read
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &Clock{file: filepath.Join(dir, "time"), library: libraries[0]}
	c.Set(t, 0)
	return c
}

// Set has the clock be so much ahead of the true time, or behind where it is negative.
func (c *Clock) Set(t testing.TB, ahead time.Duration) {
	t.Helper()
	next := c.file + ".next"
	err := os.WriteFile(next, fmt.Appendf(nil, "%+d\n", int64(ahead/time.Second)), 0o644)
	if err == nil {
		err = os.Rename(next, c.file) // nobody sees half of it
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Env is what a program must be started with; nothing without a clock.
func (c *Clock) Env() []string {
	if c == nil {
		return nil
	}
	return []string{"LD_PRELOAD=" + c.library, "FAKETIME_TIMESTAMP_FILE=" + c.file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_RESET=1"}
}
