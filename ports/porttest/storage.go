package porttest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/idempotency"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// Storage tests the contract of ports.Storage. open gives an empty storage, and
// takes it down again with t.Cleanup.
func Storage(t *testing.T, open func(t *testing.T) ports.Storage) {
	for name, test := range map[string]func(t *testing.T, s ports.Storage){
		"a session comes back as it was stored":                 sessionRoundTrip,
		"every kind of message comes back as it was stored":     turnRoundTrip,
		"what is returned is the caller's own":                  returnsCopies,
		"a session's id and key are taken once":                 uniqueness,
		"an update changes what may change, and nothing else":   updates,
		"an update whose change fails stores nothing":           failedUpdate,
		"turns are added after the last one only":               appends,
		"a deleted session is gone with its turns":              deletes,
		"another's sessions do not exist, whatever is asked":    foreign,
		"nobody's scope finds nothing and stores nothing":       nobody,
		"pages hold when elements come in between":              sessionPages,
		"turns are paged by their ids":                          turnPages,
		"a transaction that fails leaves nothing":               rollback,
		"a transaction that panics leaves nothing":              panics,
		"the storage refuses itself inside its own transaction": nested,
		"a context that has ended is said to have":              contexts,
		"usage is booked once, and summed for each user":        usageTotals,
		"an idempotency key is claimed, completed and replayed": idempotencyLife,
		"a key given back can be claimed again":                 idempotencyRelease,
		"a claim lapses, and its late owner is refused":         idempotencyLapse,
		"results are forgotten after their time":                idempotencyPrune,
		"a storage that works is ready":                         ready,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// StorageConcurrency tests the promises that only show under many writers.
func StorageConcurrency(t *testing.T, open func(t *testing.T) ports.Storage) {
	t.Run("sixteen writers leave no gap between turns", func(t *testing.T) { gapless(t, open(t)) })
	t.Run("of many claims of one key one wins", func(t *testing.T) { oneWinner(t, open(t)) })
	t.Run("transactions do not see each other's halves", func(t *testing.T) { isolated(t, open(t)) })
}

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

func sessionRoundTrip(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	for _, key := range []string{"", "key"} {
		v := create(t, s, in, key)
		got, err := s.Sessions().Get(t.Context(), in, v.ID)
		must(t, err)
		same(t, got, v)
		if got.Created.Location() != time.UTC || got.Created.Nanosecond()%1000 != 0 {
			t.Errorf("times are kept in UTC to the microsecond, got %v", got.Created)
		}
		if key != "" {
			got, err = s.Sessions().ByKey(t.Context(), in, v.Key)
			must(t, err)
			same(t, got, v)
		}
	}
	_, err := s.Sessions().Get(t.Context(), in, session.NewID(start, entropy()))
	is(t, err, fault.NotFound, "session_not_found")
	_, err = s.Sessions().ByKey(t.Context(), in, session.Key{Source: "header", Value: "other"})
	is(t, err, fault.NotFound, "session_not_found")
}

func turnRoundTrip(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "")
	messages := []chat.Message{
		chat.NewMessage(chat.System, "be brief"),
		chat.NewMessage(chat.User, ""),
		{Role: chat.User, Name: "ann", Parts: []chat.Part{{Kind: chat.TextPart, Text: "see "}, {Kind: chat.ImagePart, JSON: []byte(`{"type":"image_url", "image_url":{"url":"data:x"}}`)}, {Kind: chat.TextPart, Text: "that"}}},
		{Role: chat.User, Parts: []chat.Part{}},
		{Role: chat.Assistant, ToolCalls: []chat.ToolCall{{ID: "c1", Name: "f", Arguments: `{"x": 1}`}, {ID: "c2", Custom: true, Name: "g", Arguments: "free text"}}},
		{Role: chat.Tool, ToolCallID: "c1", Parts: []chat.Part{{Kind: chat.TextPart, Text: "\x00\u2028 \U0001f600"}}},
		{Role: chat.Assistant, Refusal: "no"},
	}
	var want []session.Turn
	for i, m := range messages {
		turn := newTurn("")
		turn.Message = m
		if m.Role == chat.Assistant {
			turn.Agent, turn.Model, turn.Finish, turn.TokensIn, turn.TokensOut, turn.Store = "agent", "model", chat.Stop, 7, 9, true
		}
		turn.Seq = i + 1
		want = append(want, turn)
	}
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 0, want...))
	got, err := s.Sessions().History(t.Context(), in, v.ID)
	must(t, err)
	if len(got) != len(want) {
		t.Fatalf("got %d turns", len(got))
	}
	for i := range want {
		same(t, got[i], want[i])
	}
	after, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	if after.Turns != len(want) {
		t.Errorf("the session says that it has %d turns", after.Turns)
	}
}

func returnsCopies(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "")
	v.Title = "changed by the caller"
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 0, newTurn("x")))
	got, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	got.Title = "changed again"
	turns, err := s.Sessions().History(t.Context(), in, v.ID)
	must(t, err)
	turns[0].Agent = "changed"
	again, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	turnsAgain, err := s.Sessions().History(t.Context(), in, v.ID)
	must(t, err)
	if again.Title != newSession(in, "").Title || turnsAgain[0].Agent != "" {
		t.Error("what a caller changed has changed what is stored")
	}
}

func uniqueness(t *testing.T, s ports.Storage) {
	ann, bob := someone(t, "a", "ann"), someone(t, "a", "bob")
	v := create(t, s, ann, "key")
	is(t, s.Sessions().Create(t.Context(), ann, v), fault.Conflict, "")
	is(t, s.Sessions().Create(t.Context(), ann, newSession(ann, "key")), fault.Conflict, "")
	create(t, s, bob, "key") // another user's keys are others
	other := newSession(ann, "key")
	other.Key.Source = "elsewhere"
	must(t, s.Sessions().Create(t.Context(), ann, other))
	is(t, s.Sessions().Create(t.Context(), bob, newSession(ann, "")), fault.Forbidden, "")
}

func updates(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v, taken := create(t, s, in, "key"), create(t, s, in, "taken")
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 0, newTurn("x")))
	must(t, s.Sessions().Update(t.Context(), in, v.ID, func(c *session.Session) error {
		c.Title, c.Agent, c.Model, c.Native, c.Updated = "new", "b", "m", "n", c.Updated.Add(time.Second)
		c.Key = session.Key{}
		c.ID, c.Org, c.User, c.Created, c.Turns = taken.ID, named[tenancy.OrgID]("x"), named[tenancy.UserID]("x"), start.Add(time.Hour), 99
		return nil
	}))
	got, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	want := *v
	want.Title, want.Agent, want.Model, want.Native, want.Updated, want.Turns = "new", "b", "m", "n", v.Updated.Add(time.Second), 1
	want.Key = session.Key{}
	same(t, got, &want)
	_, err = s.Sessions().ByKey(t.Context(), in, v.Key)
	is(t, err, fault.NotFound, "")
	is(t, s.Sessions().Update(t.Context(), in, v.ID, func(c *session.Session) error {
		c.Key = taken.Key
		return nil
	}), fault.Conflict, "")
}

func failedUpdate(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "")
	mine := errors.New("mine")
	err := s.Sessions().Update(t.Context(), in, v.ID, func(c *session.Session) error {
		c.Title = "changed"
		return mine
	})
	if err != mine {
		t.Errorf("the closure's error comes back as %v", err)
	}
	got, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	same(t, got, v)
}

func appends(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "")
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 0, newTurn("1"), newTurn("2")))
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 2, newTurn("3")))
	for _, after := range []int{0, 2, 4} {
		is(t, s.Sessions().Append(t.Context(), in, v.ID, after, newTurn("x")), fault.Conflict, "session_changed")
	}
	is(t, s.Sessions().Append(t.Context(), in, session.NewID(start, entropy()), 0, newTurn("x")), fault.NotFound, "session_not_found")
	turns, err := s.Sessions().History(t.Context(), in, v.ID)
	must(t, err)
	for i, turn := range turns {
		if turn.Seq != i+1 || turn.Message.Text() != fmt.Sprint(i+1) {
			t.Errorf("turn %d is %d, %q", i, turn.Seq, turn.Message.Text())
		}
	}
	if len(turns) != 3 {
		t.Errorf("there are %d turns", len(turns))
	}
}

func deletes(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "key")
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 0, newTurn("x")))
	must(t, s.Sessions().Delete(t.Context(), in, v.ID))
	is(t, s.Sessions().Delete(t.Context(), in, v.ID), fault.NotFound, "session_not_found")
	_, err := s.Sessions().History(t.Context(), in, v.ID)
	is(t, err, fault.NotFound, "session_not_found")
	must(t, s.Sessions().Create(t.Context(), in, v))
	turns, err := s.Sessions().History(t.Context(), in, v.ID)
	must(t, err)
	if len(turns) != 0 {
		t.Error("the turns of the deleted session are still there")
	}
}

// asks are all methods of Sessions that name a session, so that none is
// forgotten: foreign checks that the interface has no others.
func asks(in tenancy.Scope, v *session.Session) map[string]func(ctx context.Context, s ports.Sessions) error {
	return map[string]func(context.Context, ports.Sessions) error{
		"Get":   func(ctx context.Context, s ports.Sessions) error { _, err := s.Get(ctx, in, v.ID); return err },
		"ByKey": func(ctx context.Context, s ports.Sessions) error { _, err := s.ByKey(ctx, in, v.Key); return err },
		"Update": func(ctx context.Context, s ports.Sessions) error {
			return s.Update(ctx, in, v.ID, func(*session.Session) error { return nil })
		},
		"Append":  func(ctx context.Context, s ports.Sessions) error { return s.Append(ctx, in, v.ID, 0, newTurn("x")) },
		"History": func(ctx context.Context, s ports.Sessions) error { _, err := s.History(ctx, in, v.ID); return err },
		"Turns": func(ctx context.Context, s ports.Sessions) error {
			_, err := s.Turns(ctx, in, v.ID, page.Query{Limit: 1})
			return err
		},
		"Delete": func(ctx context.Context, s ports.Sessions) error { return s.Delete(ctx, in, v.ID) },
	}
}

func foreign(t *testing.T, s ports.Storage) {
	ann := someone(t, "a", "ann")
	v := create(t, s, ann, "key")
	all := asks(ann, v)
	for i := range reflect.TypeFor[ports.Sessions]().NumMethod() {
		name := reflect.TypeFor[ports.Sessions]().Method(i).Name
		if all[name] == nil && name != "Create" && name != "List" {
			t.Errorf("%s is not asked for a foreign session", name)
		}
	}
	for who, in := range map[string]tenancy.Scope{"another user": someone(t, "a", "bob"), "another organisation": someone(t, "b", "ann")} {
		for name, ask := range asks(in, v) {
			if err := ask(t.Context(), s.Sessions()); fault.As(err) == nil || fault.As(err).Code != "session_not_found" {
				t.Errorf("%s by %s: got %v", name, who, err)
			}
		}
		list, err := s.Sessions().List(t.Context(), in, page.Query{Limit: 10})
		must(t, err)
		if len(list.Items) != 0 {
			t.Errorf("%s lists it", who)
		}
	}
	if _, err := s.Sessions().Get(t.Context(), ann, v.ID); err != nil {
		t.Errorf("its owner: %v", err)
	}
}

func nobody(t *testing.T, s ports.Storage) {
	v := create(t, s, someone(t, "a", "ann"), "key")
	var none tenancy.Scope
	for name, ask := range asks(none, v) {
		if err := ask(t.Context(), s.Sessions()); !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Forbidden) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	is(t, s.Sessions().Create(t.Context(), none, newSession(none, "")), fault.Forbidden, "")
	is(t, s.Usage().Record(t.Context(), none, usage.Record{ID: usage.NewID(start, entropy())}), fault.Forbidden, "")
	_, err := s.Idempotency().Claim(t.Context(), none, claim("k", 1, "o", start))
	is(t, err, fault.Forbidden, "")
	list, err := s.Sessions().List(t.Context(), none, page.Query{Limit: 10})
	must(t, err)
	sum, err := s.Usage().Totals(t.Context(), none)
	must(t, err)
	if len(list.Items) != 0 || sum != (usage.Totals{}) {
		t.Error("nobody has something")
	}
}

func sessionPages(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	var ids []string
	add := func(i int) string {
		v := newSession(in, "")
		v.ID = session.NewID(start.Add(time.Duration(i)*time.Second), entropy())
		must(t, s.Sessions().Create(t.Context(), in, v))
		return v.ID.String()
	}
	for i := range 7 {
		ids = append(ids, add(2*i))
	}
	list := func(q page.Query) (out []string, more bool) {
		t.Helper()
		p, err := s.Sessions().List(t.Context(), in, q)
		must(t, err)
		for _, v := range p.Items {
			out = append(out, v.ID.String())
		}
		return out, p.More
	}
	for name, c := range map[string]struct {
		q    page.Query
		want []string
		more bool
	}{
		"the first":          {page.Query{Limit: 3}, ids[:3], true},
		"after":              {page.Query{Limit: 3, After: ids[2]}, ids[3:6], true},
		"the last":           {page.Query{Limit: 3, After: ids[5]}, ids[6:], false},
		"before":             {page.Query{Limit: 2, Before: ids[4]}, ids[2:4], true},
		"all before":         {page.Query{Limit: 5, Before: ids[2]}, ids[:2], false},
		"the newest":         {page.Query{Limit: 2, Desc: true}, []string{ids[6], ids[5]}, true},
		"descending, after":  {page.Query{Limit: 9, Desc: true, After: ids[2]}, []string{ids[1], ids[0]}, false},
		"descending, before": {page.Query{Limit: 2, Desc: true, Before: ids[2]}, []string{ids[4], ids[3]}, true},
		"all":                {page.Query{Limit: 7}, ids, false},
	} {
		got, more := list(c.q)
		if !reflect.DeepEqual(got, c.want) || more != c.more {
			t.Errorf("%s: got %v, %v", name, got, more)
		}
	}
	first, _ := list(page.Query{Limit: 3})
	between := add(3) // after the first page's end, and before it in part
	second, _ := list(page.Query{Limit: 9, After: first[2]})
	if !reflect.DeepEqual(second, ids[3:]) {
		t.Errorf("an insert shifted the page: %v", second)
	}
	id, err := session.ParseID(between)
	must(t, err)
	must(t, s.Sessions().Delete(t.Context(), in, id))
	if rest, _ := list(page.Query{Limit: 9, After: between}); !reflect.DeepEqual(rest, ids[2:]) {
		t.Errorf("a cursor that is gone: %v", rest)
	}
	_, err = s.Sessions().List(t.Context(), in, page.Query{Limit: 1, After: "nonsense"})
	is(t, err, fault.Invalid, "invalid_cursor")
}

func turnPages(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "")
	var turns []session.Turn
	for i := range 5 {
		turns = append(turns, newTurn(fmt.Sprint(i)))
	}
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 0, turns...))
	seqs := func(q page.Query) (out []int, more bool) {
		p, err := s.Sessions().Turns(t.Context(), in, v.ID, q)
		must(t, err)
		for _, turn := range p.Items {
			out = append(out, turn.Seq)
		}
		return out, p.More
	}
	for name, c := range map[string]struct {
		q    page.Query
		want []int
		more bool
	}{
		"the first":  {page.Query{Limit: 2}, []int{1, 2}, true},
		"after":      {page.Query{Limit: 2, After: turns[1].ID.String()}, []int{3, 4}, true},
		"before":     {page.Query{Limit: 9, Before: turns[2].ID.String()}, []int{1, 2}, false},
		"descending": {page.Query{Limit: 3, Desc: true}, []int{5, 4, 3}, true},
	} {
		if got, more := seqs(c.q); !reflect.DeepEqual(got, c.want) || more != c.more {
			t.Errorf("%s: got %v, %v", name, got, more)
		}
	}
	for _, cursor := range []string{"nonsense", session.NewTurnID(start, entropy()).String()} {
		_, err := s.Sessions().Turns(t.Context(), in, v.ID, page.Query{Limit: 1, After: cursor})
		is(t, err, fault.Invalid, "invalid_cursor")
	}
}

// touch does something of each sort in a transaction.
func touch(t *testing.T, tx ports.Repositories, ctx context.Context, in tenancy.Scope, old, fresh *session.Session) {
	t.Helper()
	must(t, tx.Sessions().Create(ctx, in, fresh))
	must(t, tx.Sessions().Append(ctx, in, fresh.ID, 0, newTurn("x")))
	must(t, tx.Sessions().Append(ctx, in, old.ID, 0, newTurn("x")))
	must(t, tx.Sessions().Update(ctx, in, old.ID, func(s *session.Session) error {
		s.Title, s.Key = "changed", session.Key{}
		return nil
	}))
	must(t, tx.Usage().Record(ctx, in, usage.Record{ID: usage.NewID(start, entropy()), Tokens: chat.Usage{Prompt: 5}, At: start}))
	_, err := tx.Idempotency().Claim(ctx, in, claim("tx", 1, "o", start))
	must(t, err)
	if got, err := tx.Sessions().Get(ctx, in, fresh.ID); err != nil || got.Turns != 1 {
		t.Errorf("a transaction does not see what it did: %v, %v", got, err)
	}
}

func untouched(t *testing.T, s ports.Storage, in tenancy.Scope, old, fresh *session.Session) {
	t.Helper()
	got, err := s.Sessions().Get(t.Context(), in, old.ID)
	must(t, err)
	same(t, got, old)
	if got, err := s.Sessions().ByKey(t.Context(), in, old.Key); err != nil || got.ID != old.ID {
		t.Errorf("the key is lost: %v", err)
	}
	_, err = s.Sessions().Get(t.Context(), in, fresh.ID)
	is(t, err, fault.NotFound, "")
	sum, err := s.Usage().Totals(t.Context(), in)
	must(t, err)
	if sum != (usage.Totals{}) {
		t.Errorf("usage is booked: %+v", sum)
	}
	if out, err := s.Idempotency().Claim(t.Context(), in, claim("tx", 2, "p", start)); err != nil || !out.Claimed {
		t.Errorf("the key is claimed: %v", err)
	}
}

func rollback(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	old, fresh := create(t, s, in, "key"), newSession(in, "fresh")
	mine := errors.New("mine")
	err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		touch(t, tx, ctx, in, old, fresh)
		return mine
	})
	if err != mine {
		t.Errorf("the function's error comes back as %v", err)
	}
	untouched(t, s, in, old, fresh)
	must(t, s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		return tx.Sessions().Create(ctx, in, fresh)
	}))
	if _, err := s.Sessions().Get(t.Context(), in, fresh.ID); err != nil {
		t.Errorf("what a transaction did is lost: %v", err)
	}
}

func panics(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	old, fresh := create(t, s, in, "key"), newSession(in, "fresh")
	func() {
		defer func() { _ = recover() }()
		_ = s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
			touch(t, tx, ctx, in, old, fresh)
			panic("in a transaction")
		})
	}()
	untouched(t, s, in, old, fresh)
}

func nested(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "")
	must(t, s.Atomically(t.Context(), func(ctx context.Context, _ ports.Repositories) error {
		_, err := s.Sessions().Get(ctx, in, v.ID)
		is(t, err, fault.Internal, "")
		is(t, s.Sessions().Delete(ctx, in, v.ID), fault.Internal, "")
		is(t, s.Atomically(ctx, func(context.Context, ports.Repositories) error { return nil }), fault.Internal, "")
		return nil
	}))
}

func contexts(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "key")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for ctx, kind := range map[context.Context]fault.Kind{canceled: fault.Canceled, late: fault.Timeout} {
		for name, ask := range asks(in, v) {
			if err := ask(ctx, s.Sessions()); !fault.Is(err, kind) {
				t.Errorf("%s: got %v, want %s", name, err, kind)
			}
		}
		is(t, s.Atomically(ctx, func(context.Context, ports.Repositories) error { return nil }), kind, "")
	}
}

func usageTotals(t *testing.T, s ports.Storage) {
	ann, bob := someone(t, "a", "ann"), someone(t, "a", "bob")
	record := func(prompt, completion int) usage.Record {
		return usage.Record{
			ID: usage.NewID(start, entropy()), Request: "req", Session: session.NewID(start, entropy()), Agent: "a", Model: "m",
			Tokens: chat.Usage{Prompt: prompt, Completion: completion, Cached: 1, Estimated: true}, Outcome: usage.Completed, At: start,
		}
	}
	one, two := record(1, 2), record(10, 20)
	must(t, s.Usage().Record(t.Context(), ann, one, two))
	must(t, s.Usage().Record(t.Context(), ann, one))
	must(t, s.Usage().Record(t.Context(), ann))
	must(t, s.Usage().Record(t.Context(), bob, record(100, 200)))
	sum, err := s.Usage().Totals(t.Context(), ann)
	must(t, err)
	same(t, sum, usage.Totals{Requests: 2, PromptTokens: 11, CompletionTokens: 22})
}

func claim(key string, body byte, owner string, at time.Time) idempotency.Claim {
	at = session.Moment(at)
	return idempotency.Claim{Key: idempotency.NewKey("POST /x", key), Body: [32]byte{body}, Owner: owner, At: at, Until: at.Add(time.Minute)}
}

func result(at time.Time) idempotency.Result {
	return idempotency.Result{
		ID: "chatcmpl-1", Created: at.UTC().Truncate(time.Second), Model: "m", Agent: "a", AgentID: "v/m", Attempts: 2, Route: "alias",
		Session: "sess_x", How: "new", Ignored: []string{"seed"}, Completed: session.Moment(at),
		Events: []chat.Event{
			{Kind: chat.Text, Choice: 1, Text: "héllo \u2028", Native: []byte("\"choices\":[{\"x\":\"\xc3\xa9\"}]"), Held: true},
			{Kind: chat.Called, Call: &chat.CallDelta{Index: 1, ID: "c", Custom: true, Name: "f", Arguments: "{}"}},
			{Kind: chat.Used, Usage: &chat.Usage{Prompt: 1, Completion: 2, Reasoning: 1}},
			{Kind: chat.Stopped, Reason: chat.Length}, {Kind: chat.Finished},
		},
	}
}

func idempotencyLife(t *testing.T, s ports.Storage) {
	ann, bob := someone(t, "a", "ann"), someone(t, "a", "bob")
	c := claim("k", 1, "one", start)
	keys := s.Idempotency()
	out, err := keys.Claim(t.Context(), ann, c)
	must(t, err)
	if !out.Claimed || out.Replay != nil {
		t.Errorf("got %+v", out)
	}
	_, err = keys.Claim(t.Context(), ann, claim("k", 1, "two", start))
	is(t, err, fault.Conflict, "idempotency_in_progress")
	_, err = keys.Claim(t.Context(), ann, claim("k", 2, "two", start))
	is(t, err, fault.KeyReuse, "idempotency_key_reuse")
	if out, err := keys.Claim(t.Context(), bob, claim("k", 2, "two", start)); err != nil || !out.Claimed {
		t.Errorf("another user's key: %v", err)
	}
	want := result(start)
	must(t, keys.Complete(t.Context(), ann, c, want))
	out, err = keys.Claim(t.Context(), ann, claim("k", 1, "two", start.Add(time.Hour)))
	must(t, err)
	if out.Claimed || out.Replay == nil {
		t.Fatalf("got %+v", out)
	}
	same(t, *out.Replay, want)
	_, err = keys.Claim(t.Context(), ann, claim("k", 2, "two", start))
	is(t, err, fault.KeyReuse, "")
	is(t, keys.Complete(t.Context(), ann, c, want), fault.Conflict, "")
	must(t, keys.Release(t.Context(), ann, c))
	if out, err := keys.Claim(t.Context(), ann, claim("k", 1, "two", start)); err != nil || out.Replay == nil {
		t.Errorf("a late release took the result away: %+v, %v", out, err)
	}
	refused := claim("refused", 1, "one", start)
	_, err = keys.Claim(t.Context(), ann, refused)
	must(t, err)
	no := fault.Invalidf("messages", "invalid_value", "No.").WithHint("Do this.")
	must(t, keys.Complete(t.Context(), ann, refused, idempotency.Result{Failure: no, Completed: session.Moment(start)}))
	out, err = keys.Claim(t.Context(), ann, refused)
	must(t, err)
	if f := out.Replay.Failure; f == nil || f.Kind != no.Kind || f.Code != no.Code || f.Param != no.Param || f.Message != no.Message || f.Hint != no.Hint {
		t.Errorf("the refusal came back as %+v", f)
	}
}

func idempotencyRelease(t *testing.T, s ports.Storage) {
	in, keys := someone(t, "a", "ann"), s.Idempotency()
	c := claim("k", 1, "one", start)
	_, err := keys.Claim(t.Context(), in, c)
	must(t, err)
	must(t, keys.Release(t.Context(), in, claim("k", 1, "two", start))) // not its own
	_, err = keys.Claim(t.Context(), in, claim("k", 1, "two", start))
	is(t, err, fault.Conflict, "")
	must(t, keys.Release(t.Context(), in, c))
	must(t, keys.Release(t.Context(), in, c))
	if out, err := keys.Claim(t.Context(), in, claim("k", 2, "two", start)); err != nil || !out.Claimed {
		t.Errorf("got %+v, %v", out, err)
	}
}

func idempotencyLapse(t *testing.T, s ports.Storage) {
	in, keys := someone(t, "a", "ann"), s.Idempotency()
	first, second := claim("k", 1, "one", start), claim("k", 1, "two", start.Add(2*time.Minute))
	_, err := keys.Claim(t.Context(), in, first)
	must(t, err)
	out, err := keys.Claim(t.Context(), in, second)
	must(t, err)
	if !out.Claimed {
		t.Error("a claim outlives its time")
	}
	is(t, keys.Complete(t.Context(), in, first, result(start)), fault.Conflict, "")
	must(t, keys.Release(t.Context(), in, first))
	must(t, keys.Complete(t.Context(), in, second, result(start)))
}

func idempotencyPrune(t *testing.T, s ports.Storage) {
	in, keys := someone(t, "a", "ann"), s.Idempotency()
	old, young, running := claim("old", 1, "o", start), claim("young", 1, "o", start), claim("running", 1, "o", start)
	for _, c := range []idempotency.Claim{old, young, running} {
		_, err := keys.Claim(t.Context(), in, c)
		must(t, err)
	}
	must(t, keys.Complete(t.Context(), in, old, result(start)))
	must(t, keys.Complete(t.Context(), in, young, result(start.Add(time.Hour))))
	n, err := keys.Prune(t.Context(), start.Add(time.Minute))
	must(t, err)
	if n != 1 {
		t.Errorf("%d entries were forgotten", n)
	}
	if out, err := keys.Claim(t.Context(), in, claim("old", 2, "o", start)); err != nil || !out.Claimed {
		t.Errorf("what was forgotten: %+v, %v", out, err)
	}
	if out, err := keys.Claim(t.Context(), in, young); err != nil || out.Replay == nil {
		t.Errorf("what is young: %+v, %v", out, err)
	}
	_, err = keys.Claim(t.Context(), in, running)
	is(t, err, fault.Conflict, "")
}

func ready(t *testing.T, s ports.Storage) { must(t, s.Ready(t.Context())) }

func gapless(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "")
	const writers, each = 16, 10
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				for {
					now, err := s.Sessions().Get(t.Context(), in, v.ID)
					if err != nil {
						t.Error(err)
						return
					}
					err = s.Sessions().Append(t.Context(), in, v.ID, now.Turns, newTurn("x"))
					if err == nil {
						break
					}
					if !fault.Is(err, fault.Conflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	turns, err := s.Sessions().History(t.Context(), in, v.ID)
	must(t, err)
	if len(turns) != writers*each {
		t.Errorf("there are %d turns", len(turns))
	}
	for i, turn := range turns {
		if turn.Seq != i+1 {
			t.Fatalf("turn %d has the number %d", i, turn.Seq)
		}
	}
}

func oneWinner(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		winners int
	)
	for i := range 32 {
		all.Go(func() {
			out, err := s.Idempotency().Claim(t.Context(), in, claim("k", 1, fmt.Sprint(i), start))
			if err != nil && !fault.Is(err, fault.Conflict) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if out.Claimed {
				winners++
			}
		})
	}
	all.Wait()
	if winners != 1 {
		t.Errorf("%d claims won", winners)
	}
}

func isolated(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	a, b := create(t, s, in, ""), create(t, s, in, "")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
					now, err := tx.Sessions().Get(ctx, in, a.ID)
					if err != nil {
						return err
					}
					if err := tx.Sessions().Append(ctx, in, a.ID, now.Turns, newTurn("x")); err != nil {
						return err
					}
					return tx.Sessions().Append(ctx, in, b.ID, now.Turns, newTurn("x"))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for _, v := range []*session.Session{a, b} {
		got, err := s.Sessions().Get(t.Context(), in, v.ID)
		must(t, err)
		if got.Turns != 160 {
			t.Errorf("there are %d turns", got.Turns)
		}
	}
}
