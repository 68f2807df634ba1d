//go:build !unix

package sqlite

// lock does nothing here: SQLite's own locks keep the file whole, but two
// servers on one file are not told of each other.
type lock struct{}

func take(string) (*lock, error) { return &lock{}, nil }

func (l *lock) release() {}
