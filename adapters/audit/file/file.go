// Package file keeps the audit log's key and checkpoints in files, apart from the
// storage.
package file

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Notes keeps checkpoints in a file that only grows. The empty path keeps none.
type Notes struct{ Path string }

var _ ports.CheckpointKeeper = Notes{}

// Keep writes a note behind the others, durably.
func (n Notes) Keep(_ context.Context, note string) error {
	if n.Path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(n.Path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(n.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(note)
	return errors.Join(err, f.Sync(), f.Close())
}

// Kept gives the checkpoints of the file; none where it is not there.
func (n Notes) Kept(context.Context) ([]audit.Checkpoint, error) {
	if n.Path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(n.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return audit.Notes(string(text))
}

// Key reads the signing key at path, or makes one there that only its owner can
// read. One that is there may be a mounted Secret: root's, and the server's group reads
// it. fault.Unavailable: it can do neither, or others can read it.
func Key(path string) (ed25519.PrivateKey, error) {
	bad := func(err error, hint string) error {
		return fault.Wrap(fault.Unavailable, err, "The audit log's key %s cannot be used.", path).WithCode("audit_unavailable").WithHint(hint)
	}
	const named = "Name another file with audit.key_file, or the data folder with AGENTAPI_DATA_DIR."
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := newKey(path)
		if err != nil {
			return nil, bad(err, named)
		}
		return key, nil
	}
	if err != nil {
		return nil, bad(err, named)
	}
	if !guarded(info) {
		return nil, bad(errors.New("others than its owner may read it"), "Run: chmod 600 "+path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, bad(err, named)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, bad(errors.New("it is no PEM file"), "Make one with: openssl genpkey -algorithm ed25519")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signing, ok := key.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, bad(errors.New("it has no Ed25519 key"), "Make one with: openssl genpkey -algorithm ed25519")
	}
	return signing, nil
}

// newKey makes a key. Of two that do so at once one wins, and both use it.
func newKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".audit-key-*") // with mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return Key(path)
	} else if err != nil {
		return nil, fmt.Errorf("making it: %w", err)
	}
	return key, nil
}
