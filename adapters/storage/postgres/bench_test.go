package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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
	server "agentapi/test/postgres"
)

// BenchmarkRequest commits what one request leaves: a session, its two turns and
// a usage record.
func BenchmarkRequest(b *testing.B) {
	pg := server.Shared(b)
	for _, c := range []struct {
		clients int
		audited bool
	}{{1, false}, {1, true}, {64, false}, {64, true}, {256, false}, {256, true}} {
		clients := c.clients
		b.Run(fmt.Sprintf("%d clients, audited %t", clients, c.audited), func(b *testing.B) {
			s := start(b, migrated(b, pg.Fresh(b)))
			var (
				left    atomic.Int64
				seeds   atomic.Uint64
				all     sync.WaitGroup
				batches = s.number
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
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			if err := s.Stop(context.Background()); err != nil { // so that its numbers rest
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/float64(max(1, (s.number-batches)/numbers)), "requests/commit")
		})
	}
}

func request(n uint64, audited bool) func(context.Context, ports.Repositories) error {
	var seed [10]byte
	binary.BigEndian.PutUint64(seed[2:], n)
	now := time.Now()
	v := session.New(session.NewID(now, seed), ann, session.Key{}, now)
	turn := func(role chat.Role, which byte) session.Turn {
		seed[0] = which
		return session.Turn{ID: session.NewTurnID(now, seed), Message: chat.NewMessage(role, strings.Repeat("word ", 40)), Created: now}
	}
	turns := []session.Turn{turn(chat.User, 1), turn(chat.Assistant, 2)}
	record := usage.Record{ID: usage.NewID(now, seed), Session: v.ID, At: now}
	entry, err := audit.New(audit.Fields{
		ID: audit.NewID(now, seed), Org: ann.Org(), Actor: audit.System, Action: audit.ChatCompleted, Target: "session:0123456789abcdef0123456789abcdef",
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
			tx.Sessions().Create(ctx, ann, v, turns...), tx.Usage().Record(ctx, ann, record),
		)
	}
}
