package porttest

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("x", 3600))

// entropy is different at every call within the process.
var entropy = func() func() [10]byte {
	var (
		mu sync.Mutex
		n  uint64
	)
	return func() (b [10]byte) {
		mu.Lock()
		defer mu.Unlock()
		n++
		for i := range 8 {
			b[9-i] = byte(n >> (8 * i))
		}
		return b
	}
}()

func someone(t *testing.T, org, user string) tenancy.Scope {
	t.Helper()
	p, err := tenancy.NewPrincipal(tenancy.Identity{}, named[tenancy.OrgID](org), named[tenancy.UserID](user))
	if err != nil {
		t.Fatal(err)
	}
	return p.Scope()
}

// named makes an id whose last byte tells it from others.
func named[ID ~[16]byte](s string) (id ID) {
	id[6], id[8] = 0x70, 0x80
	copy(id[9:], s)
	return id
}

func newSession(in tenancy.Scope, key string) *session.Session {
	s := session.New(session.NewID(start, entropy()), in, session.Key{}, start)
	if key != "" {
		s.Key = session.Key{Source: "header", Value: key}
	}
	s.Title, s.Agent, s.Model, s.Native = "A title – with ünïcode", "agent", "vendor/model:free", "native-1"
	return s
}

func newTurn(text string) session.Turn {
	return session.Turn{
		ID: session.NewTurnID(start, entropy()), Message: chat.NewMessage(chat.User, text), Request: "req_1", Created: session.Moment(start),
	}
}

func create(t *testing.T, s ports.Storage, in tenancy.Scope, key string) *session.Session {
	t.Helper()
	v := newSession(in, key)
	must(t, s.Sessions().Create(t.Context(), in, v))
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// is checks that err is of the kind and, where one is given, has the code.
func is(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	f := fault.As(err)
	if f == nil || f.Kind != kind || (code != "" && f.Code != code) {
		t.Errorf("got %v, want %s %s", err, kind, code)
	}
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}
