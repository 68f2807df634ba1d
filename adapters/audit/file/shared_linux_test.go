package file

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
)

// nobody is the image's user.
const nobody = 65532

// asNobody runs fn as the image's user. The thread that does ends with it.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread()
		for _, call := range [][4]uintptr{{syscall.SYS_SETGROUPS}, {syscall.SYS_SETRESGID, nobody, nobody, nobody}, {syscall.SYS_SETRESUID, nobody, nobody, nobody}} {
			if _, _, errno := syscall.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
				done <- errno
				return
			}
		}
		fn()
		done <- 0
	}()
	if errno := <-done; errno != 0 {
		t.Fatal(errno)
	}
}

// A Secret that is mounted is root's, and its group, which is the server's, may read it.
func TestAKeyThatIsMountedIsTaken(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another")
	}
	dir, err := os.MkdirTemp("", "agentapi-key-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "audit.pem")
	made, err := Key(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		owner, group int
		mode         os.FileMode
		good         bool
	}{
		{0, nobody, 0o440, true},
		{0, nobody, 0o640, true},
		{nobody, nobody, 0o400, true},
		{0, nobody, 0o444, false},
		{0, nobody, 0o460, false},
		{0, 0, 0o600, false},
		{nobody, nobody, 0o440, false}, // it could have been made so that nobody else reads it
	} {
		if err := os.Chown(path, c.owner, c.group); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		asNobody(t, func() {
			key, err := Key(path)
			switch {
			case c.good && (err != nil || audit.KeyOf(key).String() != audit.KeyOf(made).String()):
				t.Errorf("%o of %d:%d: %v", c.mode, c.owner, c.group, err)
			case !c.good && !fault.Is(err, fault.Unavailable):
				t.Errorf("%o of %d:%d is taken: %v", c.mode, c.owner, c.group, err)
			}
		})
	}
}
