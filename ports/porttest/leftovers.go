package porttest

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stock is what this process had running at a moment.
type stock struct {
	goroutines int
	processes  map[int]string
}

func takeStock() stock {
	return stock{runtime.NumGoroutine(), descendants()}
}

// expectNothingLeft fails the test if goroutines or child processes are there
// at its end, after all clean-up, that were not there at its beginning.
func expectNothingLeft(t *testing.T) {
	before := takeStock()
	t.Cleanup(func() {
		if err := before.nothingNew(); err != nil {
			t.Error(err)
		}
	})
}

// nothingNew waits a little for goroutines on their way out.
func (s stock) nothingNew() error {
	if err := s.noNewProcess(); err != nil {
		return err
	}
	for until := time.Now().Add(slack); runtime.NumGoroutine() > s.goroutines; <-time.After(time.Millisecond) {
		if time.Now().After(until) {
			var b bytes.Buffer
			if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
				return err
			}
			return fmt.Errorf("%d goroutines are left where %d were:\n%s", runtime.NumGoroutine(), s.goroutines, b.String())
		}
	}
	return nil
}

// noNewProcess does not wait: what a sequence started is gone when it has ended.
func (s stock) noNewProcess() error {
	for pid, name := range descendants() {
		if _, known := s.processes[pid]; !known {
			return fmt.Errorf("the process %d (%s) is left", pid, name)
		}
	}
	return nil
}

// descendants lists the living and dead processes below this one, where the
// system shows them under /proc.
func descendants() map[int]string {
	type process struct {
		parent int
		name   string
	}
	all := map[int]process{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		// pid (name) state ppid …; the name may hold spaces and parentheses.
		end := bytes.LastIndexByte(stat, ')')
		fields := strings.Fields(string(stat[end+1:]))
		if end < 0 || len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			continue
		}
		all[pid] = process{parent, string(stat[bytes.IndexByte(stat, '(')+1 : end])}
	}
	below := map[int]string{}
	for pid, p := range all {
		for up := p.parent; up > 1; up = all[up].parent {
			if up == os.Getpid() {
				below[pid] = p.name
				break
			}
		}
	}
	return below
}
