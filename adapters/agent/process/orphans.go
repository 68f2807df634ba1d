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

// newMark names a run: the server's process id, when that began, the world that
// its number counts in, and chance. So the mark of a server that is gone is known
// even if its number is used again, and those of another container are left alone.
func newMark() string {
	self := os.Getpid()
	return strconv.Itoa(self) + "." + startOf(self) + "." + world() + "." + rand.Text()
}

// TempDir makes a folder that EndOrphans removes when this server was killed.
func TempDir() (string, error) { return os.MkdirTemp("", dirPrefix+newMark()+"-") }

// alive tells whether the server that made the mark still runs, for all that can
// be told from here.
func alive(mark string) bool {
	part := strings.SplitN(mark, ".", 4)
	if len(part) < 4 || part[2] != world() {
		return true
	}
	n, err := strconv.Atoi(part[0])
	return err != nil || startOf(n) == part[1]
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
