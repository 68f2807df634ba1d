package porttest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/ports"
)

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
		p, err := s.Sessions().List(t.Context(), in, session.Filter{}, q)
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
	_, err = s.Sessions().List(t.Context(), in, session.Filter{}, page.Query{Limit: 1, After: "nonsense"})
	is(t, err, fault.Invalid, "invalid_cursor")
}

// walks pages through a list, in each order, while new sessions come in.
func walks(t *testing.T, s ports.Storage) {
	in := someone(t, "a", "ann")
	at := 0
	add := func() session.ID {
		v := newSession(in, "")
		v.ID = session.NewID(start.Add(time.Duration(at)*time.Second), entropy())
		at++
		must(t, s.Sessions().Create(t.Context(), in, v))
		return v.ID
	}
	var old []session.ID
	for range 9 {
		old = append(old, add())
	}
	for _, desc := range []bool{false, true} {
		met := map[session.ID]int{}
		for q := (page.Query{Limit: 2, Desc: desc}); ; {
			p, err := s.Sessions().List(t.Context(), in, session.Filter{}, q)
			must(t, err)
			for _, v := range p.Items {
				met[v.ID]++
			}
			if !p.More || at > 60 {
				break
			}
			if at < 15 || desc {
				add()
			}
			q.After = p.Items[len(p.Items)-1].ID.String()
		}
		for _, id := range old {
			if met[id] != 1 {
				t.Errorf("descending %v: one was met %d times", desc, met[id])
			}
		}
	}
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
	other, elsewhere := create(t, s, in, ""), newTurn("x")
	must(t, s.Sessions().Append(t.Context(), in, other.ID, 0, elsewhere))
	for _, cursor := range []string{"nonsense", session.NewTurnID(start, entropy()).String(), elsewhere.ID.String()} {
		for param, q := range map[string]page.Query{"after": {Limit: 1, After: cursor}, "before": {Limit: 1, Before: cursor}} {
			_, err := s.Sessions().Turns(t.Context(), in, v.ID, q)
			is(t, err, fault.Invalid, "invalid_cursor")
			if f := fault.As(err); f != nil && f.Param != param {
				t.Errorf("the fault blames %q, not %q", f.Param, param)
			}
		}
	}
}
