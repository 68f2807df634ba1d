package porttest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

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

func sessionBeginsWithTurns(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v, turns := newSession(in, "k"), []session.Turn{newTurn("one"), newTurn("two")}
	must(t, s.Sessions().Create(t.Context(), in, v, turns...))
	for i := range turns {
		turns[i].Seq = i + 1
	}
	got, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	if got.Turns != 2 || got.Version != 1 {
		t.Errorf("got %+v", got)
	}
	history, err := s.Sessions().History(t.Context(), in, v.ID)
	must(t, err)
	same(t, history, turns)
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 2, newTurn("three")))
	again := newSession(in, "k")
	is(t, s.Sessions().Create(t.Context(), in, again, newTurn("four")), fault.Conflict, "")
	_, err = s.Sessions().History(t.Context(), in, again.ID)
	is(t, err, fault.NotFound, "session_not_found")
}

func sessionKnowsWhoAnsweredLast(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "")
	answer := newTurn("hello")
	answer.Message.Role, answer.Agent, answer.Model, answer.Native = chat.Assistant, "agent", "model", "native"
	answer.Created = v.Updated.Add(time.Minute)
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 0, newTurn("hi"), answer))
	v.Turns, v.Version, v.Agent, v.Model, v.Native, v.Updated = 2, 2, "agent", "model", "native", answer.Created
	got, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	same(t, got, v)
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 2, newTurn("and")))
	v.Turns, v.Version = 3, 3
	got, err = s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	same(t, got, v)
	turns, err := s.Sessions().History(t.Context(), in, v.ID)
	must(t, err)
	if turns[1].Native != "native" {
		t.Errorf("got %+v", turns[1])
	}
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

func times(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := newSession(in, "")
	v.Created, v.Updated = start, start
	must(t, s.Sessions().Create(t.Context(), in, v))
	turn := newTurn("x")
	turn.Created = start
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 0, turn))
	later := start.Add(time.Hour)
	must(t, s.Sessions().Update(t.Context(), in, v.ID, func(c *session.Session) error {
		c.Updated = later
		return nil
	}))
	got, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	turns, err := s.Sessions().History(t.Context(), in, v.ID)
	must(t, err)
	same(t, []time.Time{got.Created, got.Updated, turns[0].Created}, []time.Time{session.Moment(start), session.Moment(later), session.Moment(start)})
}

func returnsCopies(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := create(t, s, in, "key")
	want := *v
	v.Title = "changed by the caller"
	turn := newTurn("")
	turn.Message = chat.Message{
		Role: chat.Assistant, Parts: []chat.Part{{Kind: chat.TextPart, Text: "a"}, {Kind: chat.ImagePart, JSON: []byte(`{"type":"image_url"}`)}},
		ToolCalls: []chat.ToolCall{{ID: "c1", Name: "f", Arguments: "{}"}},
	}
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 0, turn))
	want.Turns, want.Version = 1, 2
	spoil := func(all []session.Turn) {
		m := &all[0].Message
		all[0].Agent, m.Parts[0].Text, m.Parts[1].JSON[0], m.ToolCalls[0].Name = "changed", "changed", 'x', "changed"
	}
	for range 2 { // what the first round changes, the second must not see
		got, err := s.Sessions().Get(t.Context(), in, v.ID)
		must(t, err)
		keyed, err := s.Sessions().ByKey(t.Context(), in, want.Key)
		must(t, err)
		list, err := s.Sessions().List(t.Context(), in, session.Filter{}, page.Query{Limit: 1})
		must(t, err)
		for _, one := range []*session.Session{got, keyed, list.Items[0]} {
			same(t, one, &want)
			one.Title = "changed"
		}
		turns, err := s.Sessions().History(t.Context(), in, v.ID)
		must(t, err)
		paged, err := s.Sessions().Turns(t.Context(), in, v.ID, page.Query{Limit: 1})
		must(t, err)
		for _, all := range [][]session.Turn{turns, paged.Items} {
			same(t, all[0].Message, chat.Message{
				Role: chat.Assistant, Parts: []chat.Part{{Kind: chat.TextPart, Text: "a"}, {Kind: chat.ImagePart, JSON: []byte(`{"type":"image_url"}`)}},
				ToolCalls: []chat.ToolCall{{ID: "c1", Name: "f", Arguments: "{}"}},
			})
			spoil(all)
		}
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
	want.Version = 3
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
