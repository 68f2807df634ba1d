package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/session"
	"agentapi/ports"
)

func fresh(t *testing.T) *Store {
	t.Helper()
	s := start(t, filepath.Join(t.TempDir(), "a.db"))
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	return s
}

func numbered(n int) *session.Session {
	return session.New(session.NewID(time.Unix(int64(n), 0), [10]byte{1}), scope(), session.Key{}, time.Now())
}

func execute(t *testing.T, s *Store, statement string) {
	t.Helper()
	if _, err := s.writes.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreThatIsNotOpenSaysSo(t *testing.T) {
	t.Parallel()
	never, err := Open(Options{Path: filepath.Join(t.TempDir(), "a.db")})
	if err != nil {
		t.Fatal(err)
	}
	stopped := start(t, filepath.Join(t.TempDir(), "a.db"))
	for _, s := range []*Store{never, stopped, stopped} {
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range map[string]*Store{"never started": never, "stopped": stopped} {
		_, reads := s.Sessions().Get(t.Context(), scope(), numbered(1).ID)
		for _, err := range []error{reads, s.Sessions().Create(t.Context(), scope(), numbered(1)), s.Ready(t.Context())} {
			if !fault.Is(err, fault.Unavailable) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
}

func TestAFullDiskFailsWritesAndNotTheStore(t *testing.T) {
	t.Parallel()
	s := fresh(t)
	execute(t, s, "PRAGMA max_page_count = 1") // no more than there are
	var (
		failed error
		n      int
	)
	for ; failed == nil && n < 10_000; n++ {
		failed = s.Sessions().Create(t.Context(), scope(), numbered(n))
	}
	if !fault.Is(failed, fault.Unavailable) {
		t.Fatalf("got %v after %d", failed, n)
	}
	execute(t, s, "PRAGMA max_page_count = 1000000")
	if _, err := s.Sessions().Get(t.Context(), scope(), numbered(n-1).ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("what failed is there: %v", err)
	}
	if _, err := s.Sessions().Get(t.Context(), scope(), numbered(n-2).ID); err != nil {
		t.Errorf("what was stored before is lost: %v", err)
	}
	if err := s.Sessions().Create(t.Context(), scope(), numbered(n-1)); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

func TestACorruptRowIsADefectAndNoPanic(t *testing.T) {
	t.Parallel()
	at := time.Now()
	claim := idempotency.Claim{Key: idempotency.NewKey("r", "k"), Owner: "o", At: at, Until: at.Add(time.Hour)}
	turn := session.Turn{ID: session.NewTurnID(at, [10]byte{1}), Message: chat.NewMessage(chat.User, "x"), Created: at}
	result := idempotency.Result{Completed: at, Events: []chat.Event{{Kind: chat.Finished}}}
	v := numbered(1)
	for _, damage := range []string{
		"UPDATE chat_sessions SET turns = 'many'", "UPDATE chat_sessions SET created_at = 'once'", "UPDATE chat_sessions SET updated_at = x'00'",
		"UPDATE chat_messages SET metadata = '{'", "UPDATE chat_messages SET metadata = '[]'", "UPDATE chat_messages SET id = 'x'",
		"UPDATE chat_messages SET created_at = 'once'", "UPDATE chat_messages SET tokens_in = 'few'",
		"UPDATE idempotency SET body = 'zz'", "UPDATE idempotency SET body = ''", "UPDATE idempotency SET result = NULL",
		"UPDATE idempotency SET result = '{'", `UPDATE idempotency SET result = '{"events":[{"kind":"sung"}]}'`,
		`UPDATE idempotency SET result = '{"failure":{"kind":"sad"}}'`, "UPDATE idempotency SET lapses_at = 'late'",
	} {
		t.Run(damage, func(t *testing.T) {
			t.Parallel()
			s := fresh(t)
			if err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
				_, claimed := tx.Idempotency().Claim(ctx, scope(), claim)
				return errors.Join(
					tx.Sessions().Create(ctx, scope(), v), tx.Sessions().Append(ctx, scope(), v.ID, 0, turn),
					claimed, tx.Idempotency().Complete(ctx, scope(), claim, result),
				)
			}); err != nil {
				t.Fatal(err)
			}
			execute(t, s, damage)
			_, get := s.Sessions().Get(t.Context(), scope(), v.ID)
			_, history := s.Sessions().History(t.Context(), scope(), v.ID)
			_, claimed := s.Idempotency().Claim(t.Context(), scope(), claim)
			if !fault.Is(errors.Join(get, history, claimed), fault.Internal) {
				t.Errorf("got %v, %v, %v", get, history, claimed)
			}
		})
	}
}

func TestASchemaThatIsNotOursIsNotReady(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"older": "DELETE FROM goose_db_version WHERE version_id > 0",
		"newer": "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)",
	} {
		s := fresh(t)
		execute(t, s, change)
		if err := s.Ready(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
