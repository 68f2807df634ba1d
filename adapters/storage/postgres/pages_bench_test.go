package postgres

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"agentapi/domain/page"
	"agentapi/domain/retention"
	"agentapi/domain/session"
	server "agentapi/test/postgres"
)

// stored is a million messages: ann's 1,000 sessions of 100, and as many sessions
// of nine other organisations with 100 each.
const stored = `
	INSERT INTO agentapi.chat_sessions (org_id, id, user_id, turns)
	SELECT o.id, md5('session' || o.id || n)::uuid, o.who, 100
	FROM generate_series(1, 1000) n, (SELECT '%[1]s'::uuid AS id, '%[2]s'::uuid AS who UNION ALL SELECT md5('org' || g)::uuid, md5('user' || g)::uuid FROM generate_series(1, 9) g) o;
	INSERT INTO agentapi.chat_messages (org_id, session_id, seq, id, role, content, metadata)
	SELECT s.org_id, s.id, n, md5(s.id::text || n)::uuid, CASE WHEN n %% 2 = 1 THEN 'user' ELSE 'assistant' END, repeat('word ', 20), '{"parts":null}'
	FROM agentapi.chat_sessions s, generate_series(1, 100) n;`

// BenchmarkPage lists pages of sessions and of their messages where a million
// messages are stored.
func BenchmarkPage(b *testing.B) {
	pg := server.Shared(b)
	d := pg.Fresh(b)
	s := start(b, migrated(b, d))
	pg.Admin(b, d.Name, fmt.Sprintf(stored, ann.Org().UUID(), ann.User().UUID()))
	pg.Admin(b, d.Name, "VACUUM ANALYZE")
	var ids []session.ID
	for q := (page.Query{Limit: page.MaxLimit}); ; {
		got, err := s.Sessions().List(b.Context(), ann, session.Filter{}, q)
		if err != nil {
			b.Fatal(err)
		}
		for _, v := range got.Items {
			ids = append(ids, v.ID)
		}
		if !got.More {
			break
		}
		q.After = ids[len(ids)-1].String()
	}
	if len(ids) != 1000 {
		b.Fatalf("%d sessions are listed", len(ids))
	}
	for name, ask := range map[string]func() (int, error){
		"a session's messages": func() (int, error) {
			got, err := s.Sessions().Turns(b.Context(), ann, ids[rand.IntN(len(ids))], page.Query{Limit: page.DefaultLimit})
			return len(got.Items), err
		},
		"a user's sessions": func() (int, error) {
			got, err := s.Sessions().List(b.Context(), ann, session.Filter{}, page.Query{Limit: page.DefaultLimit, Desc: true, Before: ids[rand.IntN(len(ids)/2)].String()})
			return len(got.Items), err
		},
	} {
		b.Run(name, func(b *testing.B) {
			var (
				mu   sync.Mutex
				took []time.Duration
			)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					from := time.Now()
					n, err := ask()
					if err != nil || n != page.DefaultLimit {
						b.Errorf("%d rows, %v", n, err)
					}
					mu.Lock()
					took = append(took, time.Since(from))
					mu.Unlock()
				}
			})
			slices.Sort(took)
			for _, p := range []int{50, 99} {
				b.ReportMetric(float64(took[len(took)*p/100].Microseconds()), fmt.Sprintf("p%d-µs", p))
			}
		})
	}
}

// BenchmarkRetention lets half of a million messages go, and says how long the
// longest transaction took and how much the server's heap grew meanwhile.
func BenchmarkRetention(b *testing.B) {
	pg := server.Shared(b)
	for range b.N {
		b.StopTimer()
		d := pg.Fresh(b)
		s := start(b, migrated(b, d))
		pg.Admin(b, d.Name, fmt.Sprintf(stored, ann.Org().UUID(), ann.User().UUID()))
		pg.Admin(b, d.Name, "UPDATE agentapi.chat_sessions SET updated_at = now() - interval '1 year' WHERE ctid IN (SELECT ctid FROM agentapi.chat_sessions LIMIT 5000)", "VACUUM ANALYZE")
		rule := retention.Rule{Kind: retention.Sessions, Before: time.Now().Add(-24 * time.Hour)}
		var (
			gone    int
			longest time.Duration
			before  runtime.MemStats
			most    uint64
		)
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		for more := true; more; {
			from := time.Now()
			var (
				n   int
				err error
			)
			if n, more, err = s.Upkeep().Expire(b.Context(), rule, 500); err != nil {
				b.Fatal(err)
			}
			gone += n
			longest = max(longest, time.Since(from))
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		b.StopTimer()
		if gone != 5000 {
			b.Fatalf("%d sessions went", gone)
		}
		b.ReportMetric(float64(longest.Milliseconds()), "ms-longest-transaction")
		b.ReportMetric(float64(int64(most)-int64(before.HeapAlloc))/(1<<20), "MB-heap-growth")
	}
}
