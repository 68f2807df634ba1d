//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"agentapi/domain/fault"
)

// lock keeps other servers from a database file, for as long as this process
// lives: the system lets go of it when the process ends, however it ends.
type lock struct{ file *os.File }

// take locks path, which is left behind with this process's id.
func take(path string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, unusable(err, path)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, unusable(err, path)
		}
		var pid [16]byte
		n, _ := f.Read(pid[:]) // a pid that cannot be read is not named
		return nil, fault.New(fault.Unavailable, "The database is in use by another agentapi (pid %s).", strings.TrimSpace(string(pid[:n]))).
			WithCode("storage_unavailable").WithHint("Stop it, or choose another data folder with AGENTAPI_DATA_DIR.")
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, unusable(err, path)
	}
	return &lock{f}, nil
}

func (l *lock) release() {
	if l != nil && l.file != nil {
		l.file.Close()
	}
}
