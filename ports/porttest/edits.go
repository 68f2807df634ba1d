package porttest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/ports"
)

func edited(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	v := newSession(in, "")
	v.Metadata, v.Archived, v.Version = map[string]string{"k": "v", "schlüssel": `"{}' \ ?0 % ü`}, true, 99
	must(t, s.Sessions().Create(t.Context(), in, v))
	want := v.Clone()
	want.Version = 1
	v.Metadata["k"] = "changed by the caller"
	for range 2 { // what the first round changes, the second must not see
		got, err := s.Sessions().Get(t.Context(), in, v.ID)
		must(t, err)
		same(t, got, want)
		got.Metadata["k"] = "changed"
		list, err := s.Sessions().List(t.Context(), in, session.Filter{}, page.Query{Limit: 1})
		must(t, err)
		same(t, list.Items[0], want)
		list.Items[0].Metadata["k"] = "changed"
	}
	var kept *session.Session
	must(t, s.Sessions().Update(t.Context(), in, v.ID, func(c *session.Session) error {
		if c.Version != 1 {
			t.Errorf("a change is shown version %d", c.Version)
		}
		c.Metadata["k"], c.Archived, c.Version = "w", false, 7
		kept = c
		return nil
	}))
	kept.Metadata["k"] = "changed later"
	want.Metadata["k"], want.Archived, want.Version = "w", false, 2
	got, err := s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	same(t, got, want)
	must(t, s.Sessions().Append(t.Context(), in, v.ID, 0, newTurn("x")))
	must(t, s.Sessions().Update(t.Context(), in, v.ID, func(c *session.Session) error {
		c.Metadata = nil
		return nil
	}))
	want.Metadata, want.Turns, want.Version = nil, 1, 4
	got, err = s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	same(t, got, want)
	refused := fault.New(fault.Precondition, "no")
	err = s.Sessions().Update(t.Context(), in, v.ID, func(c *session.Session) error {
		c.Metadata = map[string]string{"a": "b"}
		return refused
	})
	is(t, err, fault.Precondition, "")
	err = s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
		if err := tx.Sessions().Append(ctx, in, v.ID, 1, newTurn("y")); err != nil {
			return err
		}
		return refused
	})
	is(t, err, fault.Precondition, "")
	got, err = s.Sessions().Get(t.Context(), in, v.ID)
	must(t, err)
	same(t, got, want)
}

func filtered(t *testing.T, s ports.Storage) {
	in, other := someone(t, "a", "ann"), someone(t, "a", "bob")
	at := func(i int) time.Time { return session.Moment(start.Add(time.Duration(i) * time.Second)) }
	titles := []string{"Plain", "100% ÄRGER", "a_b", `back\slash ~`, "axb", ""}
	var ids []session.ID
	for i, title := range titles {
		v := session.New(session.NewID(at(i), entropy()), in, session.Key{}, at(i))
		v.Title, v.Archived, v.Agent, v.Model = title, i%2 == 1, "one", fmt.Sprint("m", i%3)
		if i > 3 {
			v.Agent = "two"
		}
		must(t, s.Sessions().Create(t.Context(), in, v))
		ids = append(ids, v.ID)
	}
	create(t, s, other, "")
	list := func(f session.Filter, q page.Query) (out []int, more bool) {
		t.Helper()
		p, err := s.Sessions().List(t.Context(), in, f, q)
		must(t, err)
		for _, v := range p.Items {
			for i, id := range ids {
				if id == v.ID {
					out = append(out, i)
				}
			}
		}
		if len(out) != len(p.Items) {
			t.Error("another's session is in the list")
		}
		return out, p.More
	}
	for name, c := range map[string]struct {
		f    session.Filter
		want []int
	}{
		"all":                       {session.Filter{Status: session.Any}, []int{0, 1, 2, 3, 4, 5}},
		"open":                      {session.Filter{Status: session.Open}, []int{0, 2, 4}},
		"archived":                  {session.Filter{Status: session.Archived}, []int{1, 3, 5}},
		"an agent's":                {session.Filter{Agent: "two"}, []int{4, 5}},
		"a model's":                 {session.Filter{Model: "m1"}, []int{1, 4}},
		"no agent's":                {session.Filter{Agent: "tw"}, nil},
		"since":                     {session.Filter{Since: at(4)}, []int{4, 5}},
		"until":                     {session.Filter{Until: at(2)}, []int{0, 1}},
		"between":                   {session.Filter{Since: at(1), Until: at(1).Add(time.Microsecond)}, []int{1}},
		"elsewhere's time":          {session.Filter{Since: at(5).In(time.FixedZone("x", -7200))}, []int{5}},
		"a part of a title":         {session.Filter{Title: "LAI"}, []int{0}},
		"beyond ASCII":              {session.Filter{Title: "ä"}, []int{1}},
		"a percent sign":            {session.Filter{Title: "%"}, []int{1}},
		"an underscore":             {session.Filter{Title: "A_B"}, []int{2}},
		"a backslash":               {session.Filter{Title: `\`}, []int{3}},
		"the escape itself":         {session.Filter{Title: "~"}, []int{3}},
		"two wildcards":             {session.Filter{Title: "%_"}, nil},
		"a quote and a placeholder": {session.Filter{Title: "' OR ?0 --"}, nil},
		"all at once":               {session.Filter{Status: session.Open, Agent: "one", Model: "m2", Since: at(1), Until: at(3), Title: "_"}, []int{2}},
	} {
		if got, more := list(c.f, page.Query{Limit: 9}); !reflect.DeepEqual(got, c.want) || more {
			t.Errorf("%s: got %v, %v", name, got, more)
		}
	}
	open := session.Filter{Status: session.Open}
	for name, c := range map[string]struct {
		q    page.Query
		want []int
		more bool
	}{
		"the first":            {page.Query{Limit: 2}, []int{0, 2}, true},
		"after":                {page.Query{Limit: 2, After: ids[2].String()}, []int{4}, false},
		"after one not chosen": {page.Query{Limit: 1, After: ids[1].String()}, []int{2}, true},
		"before":               {page.Query{Limit: 1, Before: ids[4].String()}, []int{2}, true},
		"the newest":           {page.Query{Limit: 2, Desc: true}, []int{4, 2}, true},
		"before, newest":       {page.Query{Limit: 5, Desc: true, Before: ids[2].String()}, []int{4}, false},
	} {
		if got, more := list(open, c.q); !reflect.DeepEqual(got, c.want) || more != c.more {
			t.Errorf("%s: got %v, %v", name, got, more)
		}
	}
	must(t, s.Sessions().Update(t.Context(), in, ids[0], func(c *session.Session) error {
		c.Title = "RENAMED"
		return nil
	}))
	if got, _ := list(session.Filter{Title: "renamed"}, page.Query{Limit: 9}); !reflect.DeepEqual(got, []int{0}) {
		t.Errorf("by the new title: %v", got)
	}
	if got, _ := list(session.Filter{Title: "plain"}, page.Query{Limit: 9}); got != nil {
		t.Errorf("by the old title: %v", got)
	}
}
