package porttest

import (
	"context"
	"errors"
	"testing"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/census"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// realmOf is the realm of the scope's organisation; of nobody's scope, the zero one.
func realmOf(in tenancy.Scope) tenancy.Realm { return tenancy.RealmOf(in.Org()) }

func switches(t *testing.T, s ports.Storage) {
	all := func(want ...agent.Switch) {
		t.Helper()
		got, err := s.Switches().All(t.Context())
		must(t, err)
		if len(got) == 0 && len(want) == 0 {
			return
		}
		same(t, got, want)
	}
	all()
	refused := errors.New("refused")
	turn := func(name agent.Name, off bool, saw int) func(*agent.Switch) error {
		return func(v *agent.Switch) error {
			if v.Agent != name || v.Version != saw || v.Off == off {
				t.Errorf("a change of %s sees %+v", name, v)
			}
			v.Off, v.Changed, v.Version, v.Agent = off, start, 99, "another"
			return nil
		}
	}
	must(t, s.Switches().Turn(t.Context(), "up", turn("up", true, 1)))
	up := agent.Switch{Agent: "up", Off: true, Version: 2, Changed: session.Moment(start)}
	all(up)
	must(t, s.Switches().Turn(t.Context(), "slow", func(v *agent.Switch) error {
		if !v.Reset.IsZero() || v.Drained {
			t.Errorf("a switch that nobody turned is %+v", v)
		}
		v.Drained, v.Reset, v.Changed = true, start.Add(time.Hour), start
		return nil
	}))
	slow := agent.Switch{Agent: "slow", Drained: true, Reset: session.Moment(start.Add(time.Hour)), Version: 2, Changed: session.Moment(start)}
	all(slow, up)
	for name := range map[agent.Name]bool{"up": true, "new": false} {
		if err := s.Switches().Turn(t.Context(), name, func(v *agent.Switch) error { v.Off = !v.Off; return refused }); !errors.Is(err, refused) {
			t.Errorf("got %v", err)
		}
	}
	all(slow, up)
	// It goes with its transaction.
	for _, end := range []error{refused, nil} {
		err := s.Atomically(t.Context(), func(ctx context.Context, tx ports.Repositories) error {
			if err := tx.Switches().Turn(ctx, "down", turn("down", true, 1)); err != nil {
				return err
			}
			if err := tx.Switches().Turn(ctx, "up", turn("up", false, 2)); err != nil {
				return err
			}
			return end
		})
		if !errors.Is(err, end) {
			t.Errorf("got %v, not %v", err, end)
		}
	}
	down := agent.Switch{Agent: "down", Off: true, Version: 2, Changed: session.Moment(start)}
	all(down, slow, agent.Switch{Agent: "up", Version: 3, Changed: session.Moment(start)})
	// What the configuration has does not matter to it.
	must(t, s.Agents().Mirror(t.Context(), []agent.Described{{Name: "down", Type: "demo", Config: "{}"}}))
	all(down, slow, agent.Switch{Agent: "up", Version: 3, Changed: session.Moment(start)})
}

func realmSessions(t *testing.T, s ports.Storage) {
	ann, bob, eve := someone(t, "a", "ann"), someone(t, "a", "bob"), someone(t, "b", "ann")
	var ids []string
	for i, in := range []tenancy.Scope{ann, bob, ann, eve, bob} {
		v := newSession(in, "")
		v.ID = session.NewID(start.Add(time.Duration(i)*time.Second), entropy())
		if v.Created = session.Moment(start.Add(time.Duration(i) * time.Second)); i == 2 {
			v.Agent = "other"
		}
		must(t, s.Sessions().Create(t.Context(), in, v))
		ids = append(ids, v.ID.String())
	}
	for name, c := range map[string]struct {
		in   tenancy.Realm
		f    session.Filter
		q    page.Query
		want []int
		more bool
	}{
		"all":                    {realmOf(ann), session.Filter{}, page.Query{Limit: 9}, []int{0, 1, 2, 4}, false},
		"the newest":             {realmOf(ann), session.Filter{}, page.Query{Limit: 2, Desc: true}, []int{4, 2}, true},
		"after":                  {realmOf(ann), session.Filter{}, page.Query{Limit: 2, After: ids[0]}, []int{1, 2}, true},
		"one user's":             {realmOf(ann), session.Filter{User: bob.User()}, page.Query{Limit: 9}, []int{1, 4}, false},
		"one agent's":            {realmOf(ann), session.Filter{Agent: "other"}, page.Query{Limit: 9}, []int{2}, false},
		"since and until":        {realmOf(ann), session.Filter{Since: start.Add(time.Second), Until: start.Add(4 * time.Second)}, page.Query{Limit: 9}, []int{1, 2}, false},
		"another organisation's": {realmOf(eve), session.Filter{}, page.Query{Limit: 9}, []int{3}, false},
		"nobody's":               {tenancy.Realm{}, session.Filter{}, page.Query{Limit: 9}, nil, false},
	} {
		p, err := s.Sessions().ListAll(t.Context(), c.in, c.f, c.q)
		must(t, err)
		var got, want []string
		for _, v := range p.Items {
			got = append(got, v.ID.String())
		}
		for _, i := range c.want {
			want = append(want, ids[i])
		}
		if p.More != c.more || len(got) != len(want) {
			t.Errorf("%s: got %v, %v", name, got, p.More)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: got %v, not %v", name, got, want)
			}
		}
	}
	_, err := s.Sessions().ListAll(t.Context(), realmOf(ann), session.Filter{}, page.Query{Limit: 1, After: "nonsense"})
	is(t, err, fault.Invalid, "invalid_cursor")
	id, err := session.ParseID(ids[1])
	must(t, err)
	v, err := s.Sessions().Find(t.Context(), realmOf(ann), id)
	must(t, err)
	if v.User != bob.User() || v.Org != bob.Org() {
		t.Errorf("found %+v", v)
	}
	for _, in := range []tenancy.Realm{realmOf(eve), {}} {
		_, err := s.Sessions().Find(t.Context(), in, id)
		is(t, err, fault.NotFound, "session_not_found")
	}
	must(t, s.Sessions().Delete(t.Context(), realmOf(ann).Of(v.User), id))
	_, err = s.Sessions().Find(t.Context(), realmOf(ann), id)
	is(t, err, fault.NotFound, "session_not_found")
}

func counted(t *testing.T, s ports.Storage) {
	ann, own := enrolled(t, s, "a", "ann")
	eve, _ := enrolled(t, s, "b", "eve")
	now := start.Add(48 * time.Hour)
	for i, in := range []tenancy.Scope{ann, ann, eve} {
		create(t, s, in, "")
		for age, tokens := range map[time.Duration]int{time.Minute: 1, 2 * time.Hour: 10, 30 * time.Hour: 100} {
			r := newRecord(tokens, 2*tokens)
			r.At = now.Add(-age)
			r.ID = usage.NewID(r.At, entropy())
			must(t, s.Usage().Record(t.Context(), in, r))
		}
		if i < 2 {
			must(t, s.Directory().CreateKey(t.Context(), own, newKey(ann)))
		}
	}
	gone := newKey(ann)
	must(t, s.Directory().CreateKey(t.Context(), own, gone))
	must(t, s.Directory().UpdateKey(t.Context(), own, gone.ID, func(k *tenancy.APIKey) error { k.Revoked = now; return nil }))
	got, err := s.Census(t.Context(), now, 1000)
	must(t, err)
	same(t, got, census.Census{
		Orgs: 2, Users: 2, Keys: 2, Sessions: 3, Most: 1000,
		LastHour: usage.Totals{Requests: 3, PromptTokens: 3, CompletionTokens: 6},
		LastDay:  usage.Totals{Requests: 6, PromptTokens: 33, CompletionTokens: 66},
	})
	if got, err = s.Census(t.Context(), now, 1); err != nil || got.Orgs != 1 || got.Users != 1 || got.Keys != 1 || got.Sessions != 1 || got.LastDay.Requests != 1 {
		t.Errorf("counted to one: %+v, %v", got, err)
	}
}
