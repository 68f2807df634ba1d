package file

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
)

func TestAKeyIsMadeOnceAndForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "key.pem")
	keys := make([]string, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			key, err := Key(path)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = audit.KeyOf(key).String()
		})
	}
	all.Wait()
	for _, k := range keys {
		if k != keys[0] {
			t.Fatalf("two keys: %s, %s", k, keys[0])
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Key(path); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := os.WriteFile(path+"2", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Key(path + "2"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("what is no key: %v", err)
	}
}

func TestCheckpointsAreKeptBehindEachOther(t *testing.T) {
	n := Notes{Path: filepath.Join(t.TempDir(), "data", "checkpoints")}
	if all, err := n.Kept(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	key, err := Key(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) {
		if err := n.Keep(t.Context(), audit.Sign(key, audit.Head{Seq: i}, time.Now(), [32]byte{}).Note); err != nil {
			t.Fatal(err)
		}
	}
	all, err := n.Kept(t.Context())
	if err != nil || len(all) != 3 || all[2].Size != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := (Notes{}).Keep(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}
