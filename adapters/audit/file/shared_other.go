//go:build !unix

package file

import "io/fs"

// guarded tells whether a file is out of reach of others: those besides its owner may
// do nothing with it.
func guarded(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 == 0 }
