package process

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// marker is the variable by which everything that a run started is known,
	// in whatever session it is and whoever adopted it. Children inherit it.
	marker = "AGENTAPI_RUN"
	// dirPrefix begins the name of every folder of a run.
	dirPrefix = "agentapi-run-"
)

// newMark names a run: the server's process id, when that began, and chance. So
// the mark of a server that is gone is known even if its number is used again.
func newMark() string {
	self := os.Getpid()
	return strconv.Itoa(self) + "." + startOf(self) + "." + rand.Text()
}

// TempDir makes a folder that EndOrphans removes when this server was killed.
func TempDir() (string, error) { return os.MkdirTemp("", dirPrefix+newMark()+"-") }

// alive tells whether the server that made the mark still runs.
func alive(mark string) bool {
	pid, rest, _ := strings.Cut(mark, ".")
	began, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(pid)
	return err != nil || startOf(n) == began
}

// EndOrphans ends what servers that were killed have left running, and removes
// the folders of their runs. It touches nothing of a server that lives. It says
// how many processes it ended.
func EndOrphans() int {
	killed := killMarked(func(mark string) bool { return !alive(mark) })
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	if err != nil {
		return killed
	}
	for _, dir := range dirs {
		if !alive(strings.TrimPrefix(filepath.Base(dir), dirPrefix)) {
			_ = os.RemoveAll(dir)
		}
	}
	return killed
}
