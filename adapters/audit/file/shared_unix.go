//go:build unix

package file

import (
	"io/fs"
	"os"
	"syscall"
)

// guarded tells whether a file is out of reach of others: those besides its owner may
// do nothing with it. Where it is root's and this is not, its group may read it, since
// that is how a mounted Secret of Kubernetes comes to a server.
func guarded(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	if mode&0o077 == 0 {
		return true
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0 && os.Geteuid() != 0 && mode&0o037 == 0
}
