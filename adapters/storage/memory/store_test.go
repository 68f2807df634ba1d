package memory

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"reflect"
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

func TestTheOldestUsageIsForgottenButStaysInTheSums(t *testing.T) {
	s := open(t, func(o *Options) { o.MaxSessions = 3 })
	in := fill(t, s, 1, "")
	book := func(u ports.Usage, from, n int) {
		for i := range n {
			at := time.Unix(int64(1000+from+i), 0)
			if err := u.Record(t.Context(), in, usage.Record{ID: usage.NewID(at, [10]byte{}), Tokens: chat.Usage{Prompt: 2, Completion: 1}, At: at}); err != nil {
				t.Fatal(err)
			}
		}
	}
	holds := func(first int64, requests int64) {
		t.Helper()
		kept, err := s.Usage().Records(t.Context(), in, usage.ID{}, 10)
		if err != nil || len(kept) != 3 || kept[0].At.Unix() != first || len(s.usage.seen) != 3 {
			t.Errorf("%d are kept, %d known, %v", len(kept), len(s.usage.seen), err)
		}
		if sum, err := s.Usage().Totals(t.Context(), in); err != nil || sum != (usage.Totals{Requests: requests, PromptTokens: 2 * requests, CompletionTokens: requests}) {
			t.Errorf("the sums are %+v, %v", sum, err)
		}
	}
	book(s.Usage(), 0, 3)
	holds(1000, 3)
	broken := errors.New("broken")
	if err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		book(tx.Usage(), 3, 5)
		return broken
	}); err != broken {
		t.Fatal(err)
	}
	holds(1000, 3) // what failed has driven nothing out
	book(s.Usage(), 1, 4)
	holds(1002, 5)
}

func TestAFailedTransactionLeavesTheLogAsItWas(t *testing.T) {
	s := open(t)
	orgs := []tenancy.OrgID{{}, named(tenancy.OrgID{}, "a"), named(tenancy.OrgID{}, "b")}
	n := 0
	add := func(a ports.Audit, org tenancy.OrgID) {
		n++
		e, err := audit.New(audit.Fields{
			ID: audit.NewID(time.Unix(int64(n), 0), [10]byte{byte(n)}), Org: org, Actor: audit.System, Action: audit.ServerStarted, Outcome: audit.OK, Instance: "i", At: time.Unix(int64(n), 0),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	fail := func() {
		before, places, bytes := s.log.sealer.Head, maps.Clone(s.log.sealer.Orgs), s.log.bytes
		broken := errors.New("broken")
		if err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
			for range 2 {
				for _, org := range orgs {
					add(tx.Audit(), org)
				}
			}
			return broken
		}); err != broken {
			t.Fatal(err)
		}
		if s.log.sealer.Head != before || !maps.Equal(s.log.sealer.Orgs, places) || s.log.bytes != bytes {
			t.Errorf("the head is %+v, not %+v", s.log.sealer.Head, before)
		}
	}
	fail()
	add(s.Audit(), orgs[0])
	add(s.Audit(), orgs[1])
	fail()
	add(s.Audit(), orgs[1])
	add(s.Audit(), orgs[2])
	fail()
	all, err := s.Trail().Range(t.Context(), 0, 10)
	if err != nil || len(all) != 4 {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	var v audit.Verifier
	for i := range all {
		v.Add(&all[i])
	}
	if f := v.Verdict().Finding; f != nil {
		t.Error(*f)
	}
}

func TestTurnsThatWereTakenBackLeaveNothing(t *testing.T) {
	s := open(t)
	in := fill(t, s, 1, "one")
	list, err := s.Sessions().List(t.Context(), in, session.Filter{}, page.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	id, broken := list.Items[0].ID, errors.New("broken")
	turn := func(text string) session.Turn { return session.Turn{Message: chat.NewMessage(chat.User, text)} }
	for i := 1; i < 6; i++ {
		size := s.sessions.bytes
		if err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
			return errors.Join(tx.Sessions().Append(ctx, in, id, i, turn("x"), turn("x")), broken)
		}); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		before, err := s.Sessions().History(t.Context(), in, id)
		if err != nil || len(before) != i || s.sessions.bytes != size {
			t.Fatalf("%d turns, %d bytes where there were %d, %v", len(before), s.sessions.bytes, size, err)
		}
		if err := s.Sessions().Append(t.Context(), in, id, i, turn(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		after, err := s.Sessions().History(t.Context(), in, id)
		if err != nil || !reflect.DeepEqual(after[:i], before) || after[i].Message.Text() != fmt.Sprint(i) || after[i].Seq != i+1 {
			t.Fatalf("%+v after %+v, %v", after, before, err)
		}
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
