package kit

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// mark is the variable by which the processes of one test are known, whatever
// session they are in and whoever is their parent by now.
const mark = "KIT_MARK"

// Marked gives an environment entry for an agent's program, and a function that
// lists the processes that have inherited it.
func Marked(t testing.TB) (name, value string, processes func() []string) {
	t.Helper()
	value = fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano())
	entry := []byte("\x00" + mark + "=" + value + "\x00")
	return mark, value, func() []string {
		return processesWhere(func(proc string) bool {
			env, err := os.ReadFile(filepath.Join(proc, "environ"))
			return err == nil && bytes.Contains(append([]byte{0}, env...), entry)
		})
	}
}

// left lists the processes whose program lies in dir.
func left(dir string) []string {
	return processesWhere(func(proc string) bool {
		exe, err := os.Readlink(filepath.Join(proc, "exe"))
		return err == nil && filepath.Dir(exe) == dir
	})
}

// Holding lists the processes whose environment or arguments name dir.
func Holding(dir string) []string {
	return processesWhere(func(proc string) bool {
		env, _ := os.ReadFile(filepath.Join(proc, "environ")) // what is gone holds nothing
		args, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		return bytes.Contains(env, []byte(dir)) || bytes.Contains(args, []byte(dir))
	})
}

// end kills what a killed server's agents have left running, which would write to
// its folder while that is removed.
func end(dir string) {
	Soon(5*time.Second, func() bool {
		held := Holding(dir)
		for _, proc := range held {
			if pid, _, _ := strings.Cut(proc, " "); pid != strconv.Itoa(os.Getpid()) {
				if n, err := strconv.Atoi(pid); err == nil {
					_ = syscall.Kill(n, syscall.SIGKILL) // it may be gone by now
				}
			}
		}
		return len(held) == 0
	})
}

// processesWhere gives pid and command line of the processes that match; one that
// cannot be looked at is gone or another's.
func processesWhere(match func(proc string) bool) (out []string) {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for _, proc := range all {
		if _, err := strconv.Atoi(filepath.Base(proc)); err == nil && match(proc) {
			line, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
			out = append(out, filepath.Base(proc)+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return out
}

// Soon waits until ok, at most for within.
func Soon(within time.Duration, ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(within); !ok(); <-tick.C {
		if time.Now().After(until) {
			return ok()
		}
	}
	return true
}

// Descriptors is how many files and sockets the server has open.
func (s *Server) Descriptors(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func goroutines() error {
	http.DefaultClient.CloseIdleConnections()
	const proxy = "github.com/Shopify/toxiproxy/v2" // leaves what it was about to pass on where a connection is cut
	return goleak.Find(goleak.IgnoreAnyFunction(proxy+".(*ToxicLink).read"), goleak.IgnoreAnyFunction(proxy+"/toxics.(*ToxicStub).Run"))
}
