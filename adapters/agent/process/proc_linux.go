package process

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxFile is how large a file a program may write.
const maxFile = 1 << 30

// limit keeps a program from dumping its memory and from filling the disk by one file.
func limit(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	_ = unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: maxFile, Max: maxFile}, nil)
}

// stat is what /proc tells of a process.
type stat struct {
	dead   bool
	parent int
	began  string // clock ticks since the system's start
}

func statOf(pid int) (s stat, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return s, false
	}
	// pid (name) state ppid …; the name may hold anything. The start is field 22.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return s, false
	}
	s.parent, err = strconv.Atoi(fields[1])
	s.dead, s.began = fields[0] == "Z" || fields[0] == "X", fields[19]
	return s, err == nil
}

// world names the space in which this process's id counts: two containers may have
// processes of the same number.
func world() string {
	name, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "unknown"
	}
	return strings.Trim(strings.TrimPrefix(name, "pid:"), "[]")
}

// startOf is when the process began, or "" where there is none.
func startOf(pid int) string {
	s, _ := statOf(pid)
	return s.began
}

// markOf is the mark in the process's environment, or "".
func markOf(pid int) string {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	for entry := range bytes.SplitSeq(env, []byte{0}) {
		if mark, ok := bytes.CutPrefix(entry, []byte(marker+"=")); ok {
			return string(mark)
		}
	}
	return ""
}

func pids() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// look finds the descendants of leader and all that bear the mark, with their
// starts. A process that cleared its environment is found while its parents
// live, one that was adopted is found by its mark.
func look(leader int, mark string, found map[int]string) {
	stats := map[int]stat{}
	for _, pid := range pids() {
		if s, ok := statOf(pid); ok && !s.dead {
			stats[pid] = s
		}
	}
	below := func(pid int) bool {
		for up := pid; up > 1; up = stats[up].parent {
			if up == leader {
				return true
			}
		}
		return false
	}
	for pid, s := range stats {
		if pid != leader && (below(pid) || markOf(pid) == mark) {
			found[pid] = s.began
		}
	}
}

// killMarked kills all whose mark is wanted, and says how many there were.
func killMarked(wanted func(mark string) bool) int {
	killed := 0
	for _, pid := range pids() {
		began := startOf(pid)
		if mark := markOf(pid); mark != "" && wanted(mark) && end(pid, began) {
			killed++
		}
	}
	return killed
}

// end kills the process that began then and, where it became a child of this
// one, reaps it. It says whether the process was alive.
func end(pid int, began string) bool {
	s, ok := statOf(pid)
	if !ok || s.began != began {
		return false
	}
	if !s.dead {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if s.parent == os.Getpid() {
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	}
	return !s.dead
}
