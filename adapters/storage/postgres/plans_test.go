package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"agentapi/test/kit"
	server "agentapi/test/postgres"
)

// A message's session is looked up by its key, by a plan that is kept in the
// connection. One that was made for empty tables reads all sessions of the
// organisation each time.
func TestPlansForEmptyTablesAreNotKept(t *testing.T) {
	d := server.Shared(t).Fresh(t)
	s := start(t, migrated(t, d))
	var (
		left  atomic.Int64
		seeds atomic.Uint64
		all   sync.WaitGroup
	)
	left.Store(4000)
	for range 32 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := s.Atomically(t.Context(), request(seeds.Add(1), true)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if err := s.Stop(t.Context()); err != nil { // its connections tell what they did when they end
		t.Fatal(err)
	}
	c, err := pgx.Connect(t.Context(), d.Owner)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	var byKey, byUser int
	if !kit.Soon(10*time.Second, func() bool {
		err = c.QueryRow(t.Context(), `SELECT sum(idx_scan) FILTER (WHERE indexrelname = 'chat_sessions_pkey'), sum(idx_scan) FILTER (WHERE indexrelname = 'chat_sessions_user')
			FROM pg_stat_user_indexes`).Scan(&byKey, &byUser)
		return err == nil && byKey+byUser >= 8000 // each session had two messages
	}) || byKey < 3*byUser {
		t.Errorf("%d sessions were looked up by their key, %d by their user, %v", byKey, byUser, err)
	}
}
