package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"agentapi/domain/fault"
	"agentapi/ports"
)

// Archive keeps exports in a folder, each in a file that its owner alone can read.
type Archive struct{ Folder string }

var _ ports.Archive = Archive{}

// Store writes a file beside its place, durably, and then puts it there.
func (a Archive) Store(_ context.Context, name string, write func(to io.Writer) error) (err error) {
	if err := os.MkdirAll(a.Folder, 0o700); err != nil {
		return unkept(err)
	}
	f, err := os.CreateTemp(a.Folder, ".part-*") // with mode 0600
	if err != nil {
		return unkept(err)
	}
	defer os.Remove(f.Name())
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close(), os.Rename(f.Name(), filepath.Join(a.Folder, name))); err != nil {
		return unkept(err)
	}
	dir, err := os.Open(a.Folder)
	if err != nil {
		return unkept(err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return unkept(err)
	}
	return nil
}

// Open gives a file of the folder.
func (a Archive) Open(_ context.Context, name string) (io.ReadSeekCloser, error) {
	f, err := os.Open(filepath.Join(a.Folder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.NotFoundf("", "There is no %s in %s.", name, a.Folder)
	}
	if err != nil {
		return nil, unkept(err)
	}
	return f, nil
}

func unkept(err error) error {
	return fault.Wrap(fault.Unavailable, err, "The export of the audit log cannot be kept.").WithCode("audit_unavailable").WithHint("See audit.retention.folder.")
}
