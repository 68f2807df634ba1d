package memory

import (
	"context"
	"fmt"
	"testing"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/id"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
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
			list, err := s.Sessions().List(t.Context(), in, page.Query{Limit: 100})
			if err != nil || len(list.Items) != 3 || list.Items[0].Created.Unix() != 7 {
				t.Errorf("got %d sessions, %v", len(list.Items), err)
			}
			if len(s.sessions.byKey) != 3 || len(s.sessions.order) != 3 || s.sessions.bytes != 3*(1024+5000) {
				t.Errorf("the indexes hold %d, %d, %d", len(s.sessions.byKey), len(s.sessions.order), s.sessions.bytes)
			}
		})
	}
}
