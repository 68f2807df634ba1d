package sqlite

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/id"
	"agentapi/domain/idempotency"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
	"agentapi/ports/porttest"
)

const victimEnv = "SQLITE_TEST_VICTIM"

func TestMain(m *testing.M) {
	if path := os.Getenv(victimEnv); path != "" {
		victim(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheStoreKeepsThePortsContract(t *testing.T) {
	open := func(t *testing.T) ports.Storage { return fresh(t) }
	porttest.Storage(t, open)
	porttest.StorageConcurrency(t, open)
}

func scope() tenancy.Scope {
	p, err := tenancy.NewPrincipal(tenancy.Identity{}, named(tenancy.OrgID{}, "o"), named(tenancy.UserID{}, "u"))
	if err != nil {
		panic(err)
	}
	return p.Scope()
}

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

func TestWhatIsStoredIsThereAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub folder", "a?b.db")
	s := start(t, path)
	v := session.New(session.NewID(time.Now(), [10]byte{1}), scope(), session.Key{}, time.Now())
	if err := s.Sessions().Create(t.Context(), scope(), v); err != nil {
		t.Fatal(err)
	}
	c := idempotency.Claim{Key: idempotency.NewKey("r", "k"), Owner: "dead", At: time.Now(), Until: time.Now().Add(time.Hour)}
	if _, err := s.Idempotency().Claim(t.Context(), scope(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = start(t, path)
	defer func() { _ = s.Stop(context.Background()) }()
	if _, err := s.Sessions().Get(t.Context(), scope(), v.ID); err != nil {
		t.Error(err)
	}
	c.Owner, c.At = "alive", c.At.Add(-time.Hour) // even where the clock went back
	if out, err := s.Idempotency().Claim(t.Context(), scope(), c); err != nil || !out.Claimed {
		t.Errorf("a claim outlives the server that made it: %+v, %v", out, err)
	}
	for _, f := range []string{path, path + ".lock"} {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
}

func TestTheFolderIsForTheUserAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	s := start(t, filepath.Join(dir, "a.db"))
	defer func() { _ = s.Stop(context.Background()) }()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("got %v", info.Mode())
	}
}

func TestAFileThatIsNoDatabaseStopsTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a start that failed lets go of the lock
		s, err := Open(Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "in use") {
			t.Errorf("got %v", err)
		}
	}
}

func TestASecondServerIsToldWhoHasTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := start(t, path)
	defer func() { _ = s.Stop(context.Background()) }()
	other, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	err = other.Start(t.Context())
	if f := fault.As(err); f == nil || !strings.Contains(f.Message, fmt.Sprint(os.Getpid())) || f.Hint == "" {
		t.Errorf("got %v", err)
	}
}

func TestANewerSchemaStopsTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	s := start(t, path)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	again, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if f := fault.As(again.Start(t.Context())); f == nil || !strings.Contains(f.Message, "9999") {
		t.Errorf("got %v", f)
	}
}

func TestAFolderThatCannotBeWrittenIsSaid(t *testing.T) {
	s, err := Open(Options{Path: "/proc/nowhere/a.db"})
	if err != nil {
		t.Fatal(err)
	}
	if f := fault.As(s.Start(t.Context())); f == nil || f.Kind != fault.Unavailable || f.Hint == "" {
		t.Errorf("got %v", f)
	}
}

// victim commits sessions from many writers and says of each that it is stored,
// until it is killed.
func victim(path string) {
	s, err := Open(Options{Path: path})
	if err == nil {
		err = s.Start(context.Background())
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	for w := range 16 {
		go func() {
			for n := 0; ; n++ {
				v := session.New(session.NewID(time.Now(), [10]byte{byte(w), byte(n), byte(n >> 8)}), scope(), session.Key{}, time.Now())
				err := s.Atomically(context.Background(), func(ctx context.Context, tx ports.Repositories) error {
					if err := tx.Sessions().Create(ctx, scope(), v); err != nil {
						return err
					}
					return tx.Sessions().Append(ctx, scope(), v.ID, 0, session.Turn{ID: session.NewTurnID(time.Now(), [10]byte{byte(w), byte(n)}), Message: chat.NewMessage(chat.User, "x")})
				})
				if err != nil {
					continue
				}
				out.Lock()
				fmt.Println(v.ID)
				out.Unlock()
			}
		}()
	}
	select {}
}

func TestNothingAcknowledgedIsLostWhenTheServerIsKilled(t *testing.T) {
	const kills = 20
	path := filepath.Join(t.TempDir(), "a.db")
	var stored []string
	for i := range kills {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), victimEnv+"="+path)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(pipe)
		for n := 0; lines.Scan(); n++ {
			stored = append(stored, lines.Text())
			if n == 20+7*i {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
	}
	s := start(t, path)
	defer func() { _ = s.Stop(context.Background()) }()
	for _, text := range stored {
		id, err := session.ParseID(text)
		if err != nil {
			t.Fatalf("the victim said %q", text)
		}
		if turns, err := s.Sessions().History(t.Context(), scope(), id); err != nil || len(turns) != 1 {
			t.Errorf("%s: %d turns, %v", text, len(turns), err)
		}
	}
	t.Logf("%d kills, %d acknowledged", kills, len(stored))
}

// What was erased is not only found no more: it is in no file.
func TestOfWhatIsErasedNothingIsInTheFile(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Path: filepath.Join(dir, "a.db")})
	if err == nil {
		err = s.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	const canary = "a-canary-in-the-file"
	at := time.Now()
	in := tenancy.OnBehalf(named(tenancy.OrgID{}, "o"), named(tenancy.UserID{}, "u"))
	v := session.New(session.NewID(at, [10]byte{1}), in, session.Key{}, at)
	turns := make([]session.Turn, 500)
	for i := range turns {
		turns[i] = session.Turn{ID: session.NewTurnID(at, [10]byte{2, byte(i), byte(i >> 8)}), Message: chat.NewMessage(chat.User, canary), Created: at}
	}
	if err := s.Sessions().Create(t.Context(), in, v, turns...); err != nil {
		t.Fatal(err)
	}
	for n := 1; n > 0; {
		if n, err = s.Upkeep().Erase(t.Context(), in, tenancy.UserID{1}, 100); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if n := strings.Count(string(text), canary); err != nil || n > 0 {
			t.Errorf("%s has it %d times, %v", f, n, err)
		}
	}
}
