package memory

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"agentapi/domain/audit"
	"agentapi/domain/chat"
	"agentapi/domain/id"
	"agentapi/domain/idempotency"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
	"agentapi/ports/porttest"
)

func open(t *testing.T, change ...func(*Options)) *Store {
	t.Helper()
	var o Options
	o.SetDefaults()
	for _, c := range change {
		c(&o)
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheStoreKeepsThePortsContract(t *testing.T) {
	fresh := func(t *testing.T) ports.Storage { return open(t) }
	porttest.Storage(t, fresh)
	porttest.StorageConcurrency(t, fresh)
}

func fill(t *testing.T, s *Store, n int, text string) tenancy.Scope {
	t.Helper()
	p, err := tenancy.NewPrincipal(tenancy.Identity{}, named(tenancy.OrgID{}, "o"), named(tenancy.UserID{}, "u"))
	if err != nil {
		t.Fatal(err)
	}
	in := p.Scope()
	for i := range n {
		at := time.Unix(int64(i), 0)
		v := session.New(session.NewID(at, [10]byte{byte(i)}), in, session.Key{Source: "s", Value: fmt.Sprint(i)}, at)
		err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
			if err := tx.Sessions().Create(ctx, in, v); err != nil {
				return err
			}
			return tx.Sessions().Append(ctx, in, v.ID, 0, session.Turn{Message: chat.NewMessage(chat.User, text)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return in
}

func named[K id.Kind](_ id.ID[K], name string) id.ID[K] { return id.Named[K](name) }

func TestTheOldestSessionsAreForgotten(t *testing.T) {
	for name, s := range map[string]*Store{
		"beyond the number": open(t, func(o *Options) { o.MaxSessions = 3 }),
		"beyond the bytes":  open(t, func(o *Options) { o.MaxBytes = 3 * (1024 + 5000) }),
	} {
		t.Run(name, func(t *testing.T) {
			in := fill(t, s, 10, string(make([]byte, 5000)))
			list, err := s.Sessions().List(t.Context(), in, session.Filter{}, page.Query{Limit: 100})
			if err != nil || len(list.Items) != 3 || list.Items[0].Created.Unix() != 7 {
				t.Errorf("got %d sessions, %v", len(list.Items), err)
			}
			if len(s.sessions.byKey) != 3 || s.sessions.order.size != 3 || s.sessions.bytes != 3*(1024+5000) {
				t.Errorf("the indexes hold %d, %d, %d", len(s.sessions.byKey), s.sessions.order.size, s.sessions.bytes)
			}
		})
	}
}

func TestTheOldestResultsAreForgottenAndNotWhatRuns(t *testing.T) {
	for name, s := range map[string]*Store{
		"beyond the number": open(t, func(o *Options) { o.MaxSessions = 3 }),
		"beyond the bytes":  open(t, func(o *Options) { o.MaxBytes = 3 * (1024 + 128 + 5000) }),
	} {
		t.Run(name, func(t *testing.T) {
			in, keys := fill(t, s, 1, ""), s.Idempotency()
			at := time.Unix(1000, 0)
			claim := func(n int) idempotency.Claim {
				c := idempotency.Claim{Key: idempotency.NewKey("r", fmt.Sprint(n)), Owner: "o", At: at, Until: at.Add(time.Hour)}
				if _, err := keys.Claim(t.Context(), in, c); err != nil {
					t.Fatal(err)
				}
				return c
			}
			complete := func(c idempotency.Claim) {
				events := []chat.Event{{Kind: chat.Text, Text: string(make([]byte, 5000))}}
				if err := keys.Complete(t.Context(), in, c, idempotency.Result{Completed: at, Events: events}); err != nil {
					t.Fatal(err)
				}
			}
			long := claim(0) // it runs while all others come and go
			for n := 1; n < 10; n++ {
				complete(claim(n))
			}
			complete(long)
			if got := len(s.keys.entries); got != 3 || len(s.keys.done) != 3 {
				t.Errorf("%d entries are kept, %d in order", got, len(s.keys.done))
			}
			if n, err := keys.Prune(t.Context(), at.Add(time.Second)); err != nil || n != 3 || s.keys.bytes != 0 {
				t.Errorf("%d were forgotten, %v, %d bytes are left", n, err, s.keys.bytes)
			}
		})
	}
}

// BenchmarkRequest stores what one request leaves: a session, its two turns and
// a usage record, with the oldest of them being forgotten.
func BenchmarkRequest(b *testing.B) {
	for _, audited := range []bool{false, true} {
		b.Run(fmt.Sprintf("audited %t", audited), func(b *testing.B) { benchmark(b, audited) })
	}
}

func benchmark(b *testing.B, audited bool) {
	var o Options
	o.SetDefaults()
	s, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	p, err := tenancy.NewPrincipal(tenancy.Identity{}, named(tenancy.OrgID{}, "o"), named(tenancy.UserID{}, "u"))
	if err != nil {
		b.Fatal(err)
	}
	in, msg := p.Scope(), chat.NewMessage(chat.User, "hello")
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		var seed [10]byte
		binary.BigEndian.PutUint64(seed[2:], n)
		now := time.Unix(int64(n)+1, 0)
		v := session.New(session.NewID(now, seed), in, session.Key{}, now)
		err := s.Atomically(b.Context(), func(ctx context.Context, tx ports.Repositories) error {
			if err := tx.Sessions().Create(ctx, in, v); err != nil {
				return err
			}
			if err := tx.Sessions().Append(ctx, in, v.ID, 0, session.Turn{Message: msg}, session.Turn{Message: msg}); err != nil {
				return err
			}
			if audited {
				entry, err := audit.New(audit.Fields{
					ID: audit.NewID(now, seed), Org: in.Org(), Actor: audit.System, Action: audit.ChatCompleted, Target: "session:0123456789abcdef0123456789abcdef",
					Outcome: audit.OK, Request: "req_0123456789abcdef0123456789abcdef", Instance: "0123456789abcdef", At: now,
					Details: map[string]string{"agent": "demo", "model": "echo", "tokens_in": "120", "tokens_out": "80"},
				})
				if err != nil {
					return err
				}
				if err := tx.Audit().Append(ctx, entry); err != nil {
					return err
				}
			}
			return tx.Usage().Record(ctx, in, usage.Record{ID: usage.NewID(now, seed), At: now})
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
