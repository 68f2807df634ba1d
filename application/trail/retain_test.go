package trail

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"agentapi/adapters/audit/file"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// retaining makes a service that keeps a day, and a log with n entries of two days
// ago and three of now.
func retaining(t *testing.T, wrap func(ports.Storage) ports.Storage, n int) (*Service, *Recorder, string) {
	t.Helper()
	s, r := open(t)
	svc := service(wrap(s), r, &kept{}, "one")
	folder := t.TempDir()
	svc.Keep = Keep{After: 24 * time.Hour, Archive: file.Archive{Folder: folder}}
	happen(t, svc, r, n)
	time.Sleep(48 * time.Hour)
	happen(t, svc, r, 3)
	return svc, r, folder
}

// happen has n things done, and a checkpoint signed.
func happen(t *testing.T, svc *Service, r *Recorder, n int) {
	t.Helper()
	for i := range n {
		note := Note{Action: audit.SessionDeleted, Who: user("ann"), What: "session", Own: "x"}
		if i%3 == 0 {
			note = Note{Action: audit.ServerStarted, Actor: audit.System}
		}
		if err := r.Record(t.Context(), note); err != nil {
			t.Fatal(err)
		}
	}
	svc.checkpoint(t.Context())
}

func plain(s ports.Storage) ports.Storage { return s }

func first(t *testing.T, s *Service) uint64 {
	t.Helper()
	head, err := s.Storage.Trail().Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return head.First
}

func TestWhatIsOldLeavesTheLogForAnArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, r, folder := retaining(t, plain, 2500)
		keys := []audit.Key{audit.KeyOf(key)}
		whole := func(entries uint64, with []audit.Key, names ...string) *audit.Finding {
			t.Helper()
			var live bytes.Buffer
			if _, err := Export(t.Context(), svc.Storage, audit.Filter{}, &live); err != nil {
				t.Fatal(err)
			}
			var exports []io.ReadSeeker
			for _, name := range names {
				text, err := os.ReadFile(filepath.Join(folder, name))
				if err != nil {
					t.Fatal(err)
				}
				exports = append(exports, bytes.NewReader(text))
			}
			marks, err := svc.Keeper.Kept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			v, err := VerifyExport(&audit.Verifier{}, marks, with, append(exports, bytes.NewReader(live.Bytes()))...)
			if err != nil {
				t.Fatal(err)
			}
			if v.Finding == nil && v.Entries != entries {
				t.Errorf("%d entries, not %d", v.Entries, entries)
			}
			return v.Finding
		}
		done, err := svc.Retain(t.Context())
		if err != nil || done != (Retained{2500, 1, 2500, "audit-000000000001-000000002500.jsonl"}) {
			t.Fatalf("%+v, %v", done, err)
		}
		if v, err := Verify(t.Context(), svc.Storage, Part{}, nil, keys); err != nil || v.Finding != nil || v.First != 2501 || v.Entries != 4 || v.Checkpoints < 2 {
			t.Errorf("what is left: %+v, %v", v, err)
		}
		if f := whole(4, keys); f != nil {
			t.Errorf("an export of what is left: %+v", *f)
		}
		if f := whole(2504, keys, done.Name); f != nil {
			t.Errorf("with the archive: %+v", *f)
		}
		stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
		if f := whole(4, []audit.Key{audit.KeyOf(stranger)}); f == nil || f.Kind != audit.Deleted {
			t.Errorf("of another key's: %+v", f)
		}
		if again, err := svc.Retain(t.Context()); err != nil || again != (Retained{}) {
			t.Errorf("again: %+v, %v", again, err)
		}
		time.Sleep(48 * time.Hour)
		happen(t, svc, r, 2)
		second, err := svc.Retain(t.Context())
		if err != nil || second.First != 2501 || second.Entries != 4 {
			t.Errorf("two days later: %+v, %v", second, err)
		}
		if f := whole(2507, keys, done.Name, second.Name); f != nil {
			t.Errorf("with both archives: %+v", *f)
		}
		if f := whole(3, keys, done.Name); f == nil || f.Kind != audit.Deleted || f.Seq != 2501 {
			t.Errorf("without one of them: %+v", f)
		}
	})
}

// failing is a storage that removes nothing while it has an error.
type failing struct {
	ports.Storage
	err error
}

func (f *failing) Trail() ports.Trail { return failingTrail{f.Storage.Trail(), f} }

type failingTrail struct {
	ports.Trail
	f *failing
}

func (t failingTrail) Retire(ctx context.Context, r audit.Retirement, recorded uint64) (int, error) {
	if t.f.err != nil {
		return 0, t.f.err
	}
	return t.Trail.Retire(ctx, r, recorded)
}

func TestWhatIsNotExportedStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{err: errors.New("away")}
		svc, _, folder := retaining(t, func(s ports.Storage) ports.Storage {
			f.Storage = s
			return f
		}, 20)
		if _, err := svc.Retain(t.Context()); !errors.Is(err, f.err) {
			t.Fatalf("got %v", err)
		}
		// It says that they are retired. Whoever goes on looks at the export first.
		f.err = nil
		path := filepath.Join(folder, "audit-000000000001-000000000020.jsonl")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		put := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put(strings.Replace(string(text), "instance", "instanse", 1))
		if _, err := svc.Retain(t.Context()); !fault.Is(err, fault.Conflict) {
			t.Errorf("an export that was changed: %v", err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := svc.Retain(t.Context()); !fault.Is(err, fault.NotFound) {
			t.Errorf("an export that is gone: %v", err)
		}
		if n := first(t, svc); n != 1 {
			t.Fatalf("the log begins at %d", n)
		}
		put(string(text))
		if done, err := svc.Retain(t.Context()); err != nil || done.Entries != 20 || first(t, svc) != 21 {
			t.Errorf("%+v, %v", done, err)
		}
		n := 0
		for _, e := range entries(t, f.Storage) {
			if e.Columns.Action == audit.LogRetired {
				n++
			}
		}
		if n != 1 {
			t.Errorf("it is said %d times", n)
		}
	})
}

func TestOfALogThatWasChangedNothingIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, _, folder := retaining(t, func(s ports.Storage) ports.Storage { return changed{s} }, 20)
		if _, err := svc.Retain(t.Context()); !fault.Is(err, fault.Conflict) {
			t.Errorf("got %v", err)
		}
		if files, err := os.ReadDir(folder); err != nil || len(files) != 0 || first(t, svc) != 1 || svc.State().Finding() == nil {
			t.Errorf("%v, %v", files, err)
		}
		svc, _, _ = retaining(t, plain, 20)
		svc.Keep.Archive = file.Archive{Folder: "/dev/null/folder"}
		if _, err := svc.Retain(t.Context()); !fault.Is(err, fault.Unavailable) || first(t, svc) != 1 {
			t.Errorf("without a folder: %v", err)
		}
	})
}

func TestServersRetireWhatIsOldByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, _, _ := retaining(t, plain, 20)
		ctx, cancel := context.WithCancel(t.Context())
		if err := svc.Start(ctx); err != nil {
			t.Fatal(err)
		}
		go svc.Run(ctx)
		time.Sleep(2 * time.Hour)
		if n := first(t, svc); n != 21 {
			t.Errorf("the log begins at %d", n)
		}
		cancel()
		synctest.Wait()
	})
}
