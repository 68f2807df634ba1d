package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/chat"
	"agentapi/domain/session"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// BenchmarkRequest commits what one request leaves: a session, its two turns
// and a usage record.
func BenchmarkRequest(b *testing.B) {
	for _, c := range []struct {
		clients int
		audited bool
	}{{1, false}, {1, true}, {64, false}, {64, true}, {256, false}, {256, true}} {
		clients := c.clients
		b.Run(fmt.Sprintf("%d clients, audited %t", clients, c.audited), func(b *testing.B) {
			s, err := Open(Options{Path: filepath.Join(b.TempDir(), "a.db")})
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Stop(context.Background()) }()
			var (
				left  atomic.Int64
				seeds atomic.Uint64
				all   sync.WaitGroup
			)
			left.Store(int64(b.N))
			b.ResetTimer()
			for range clients {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if err := s.Atomically(b.Context(), request(seeds.Add(1), c.audited)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

func request(n uint64, audited bool) func(context.Context, ports.Repositories) error {
	var seed [10]byte
	binary.BigEndian.PutUint64(seed[2:], n)
	now := time.Now()
	v := session.New(session.NewID(now, seed), scope(), session.Key{}, now)
	turn := func(role chat.Role, which byte) session.Turn {
		seed[0] = which
		return session.Turn{ID: session.NewTurnID(now, seed), Message: chat.NewMessage(role, strings.Repeat("word ", 40)), Created: now}
	}
	turns := []session.Turn{turn(chat.User, 1), turn(chat.Assistant, 2)}
	record := usage.Record{ID: usage.NewID(now, seed), Session: v.ID, At: now}
	entry, err := audit.New(audit.Fields{
		ID: audit.NewID(now, seed), Org: scope().Org(), Actor: audit.System, Action: audit.ChatCompleted, Target: "session:0123456789abcdef0123456789abcdef",
		Outcome: audit.OK, Request: "req_0123456789abcdef0123456789abcdef", Instance: "0123456789abcdef", At: now,
		Details: map[string]string{"agent": "demo", "model": "echo", "tokens_in": "120", "tokens_out": "80"},
	})
	return func(ctx context.Context, tx ports.Repositories) error {
		if audited {
			if err := errors.Join(err, tx.Audit().Append(ctx, entry)); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.Sessions().Create(ctx, scope(), v), tx.Sessions().Append(ctx, scope(), v.ID, 0, turns...), tx.Usage().Record(ctx, scope(), record),
		)
	}
}

func BenchmarkStart(b *testing.B) {
	once := func(b *testing.B, path string) {
		s, err := Open(Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := s.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("a new file", func(b *testing.B) {
		dir := b.TempDir()
		for i := 0; b.Loop(); i++ {
			once(b, filepath.Join(dir, fmt.Sprint(i)))
		}
	})
	b.Run("an existing file", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "a.db")
		once(b, path)
		for b.Loop() {
			once(b, path)
		}
	})
}
