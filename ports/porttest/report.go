package porttest

import (
	"testing"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
	"agentapi/ports"
)

// thatDay is a query for the day of start.
var thatDay = usage.Query{Since: start.Add(-12 * time.Hour), Until: start.Add(12 * time.Hour), Width: time.Hour}

// consumed books one record of n prompt tokens made at a moment.
func consumed(t *testing.T, s ports.Storage, in tenancy.Scope, at time.Time, n int, change func(*usage.Record)) {
	t.Helper()
	r := usage.Record{
		ID: usage.NewID(at.Add(-time.Minute), entropy()), Request: "req", Agent: "a", Model: "m", At: at, Outcome: usage.Completed,
		Tokens: chat.Usage{Prompt: n, Completion: 2 * n, Cached: 3, CacheWrite: 4, Reasoning: 5},
	}
	if change != nil {
		change(&r)
	}
	must(t, s.Usage().Record(t.Context(), in, r))
}

func usageReports(t *testing.T, s ports.Storage) {
	ann, bob, eve := someone(t, "a", "ann"), someone(t, "a", "bob"), someone(t, "b", "eve")
	key := named[tenancy.KeyID]("key")
	day := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	consumed(t, s, ann, day.Add(-time.Millisecond), 1000, nil) // before
	consumed(t, s, ann, day, 1, nil)
	consumed(t, s, ann, day.Add(59*time.Minute), 10, func(r *usage.Record) { r.Model, r.Outcome = "n", usage.Failed })
	consumed(t, s, ann, day.Add(time.Hour), 100, func(r *usage.Record) { r.Key, r.Outcome = key, usage.Canceled })
	consumed(t, s, bob, day.Add(90*time.Minute), 1000, func(r *usage.Record) { r.Agent = "b" })
	consumed(t, s, eve, day.Add(90*time.Minute), 10_000, nil)
	consumed(t, s, bob, day.Add(24*time.Hour), 100_000, nil)
	consumed(t, s, bob, day.Add(48*time.Hour), 1, nil) // after
	sums := func(requests, failed, canceled, prompt int64) usage.Sums {
		return usage.Sums{Requests: requests, Failed: failed, Canceled: canceled, Prompt: prompt, Completion: 2 * prompt, Cached: 3 * requests, CacheWrite: 4 * requests, Reasoning: 5 * requests}
	}
	row := func(at time.Time, g usage.Group, sum usage.Sums) usage.Row {
		g.At = at
		return usage.Row{Group: g, Sums: sum}
	}
	a, annID, bobID := ann.Org(), ann.User(), bob.User()
	for name, c := range map[string]struct {
		q    usage.Query
		want []usage.Row
	}{
		"by the day": {usage.Query{Width: 24 * time.Hour}, []usage.Row{row(day, usage.Group{}, sums(4, 1, 1, 1111)), row(day.Add(24*time.Hour), usage.Group{}, sums(1, 0, 0, 100_000))}},
		"by the hour": {usage.Query{Width: time.Hour, Until: day.Add(2 * time.Hour)}, []usage.Row{
			row(day, usage.Group{}, sums(2, 1, 0, 11)), row(day.Add(time.Hour), usage.Group{}, sums(2, 0, 1, 1100)),
		}},
		"by the minute": {usage.Query{Width: time.Minute, Until: day.Add(time.Hour)}, []usage.Row{
			row(day, usage.Group{}, sums(1, 0, 0, 1)), row(day.Add(59*time.Minute), usage.Group{}, sums(1, 1, 0, 10)),
		}},
		"told apart by all": {usage.Query{Width: 24 * time.Hour, Until: day.Add(24 * time.Hour), By: []usage.Dimension{usage.ByModel, usage.ByAgent, usage.ByUser, usage.ByKey, usage.ByOrg}}, []usage.Row{
			row(day, usage.Group{Org: a, User: annID, Agent: "a", Model: "m"}, sums(1, 0, 0, 1)),
			row(day, usage.Group{Org: a, User: annID, Agent: "a", Model: "n"}, sums(1, 1, 0, 10)),
			row(day, usage.Group{Org: a, User: annID, Agent: "a", Model: "m", Key: key}, sums(1, 0, 1, 100)),
			row(day, usage.Group{Org: a, User: bobID, Agent: "b", Model: "m"}, sums(1, 0, 0, 1000)),
		}},
		"of a user":  {usage.Query{Width: 24 * time.Hour, Users: []tenancy.UserID{annID}}, []usage.Row{row(day, usage.Group{}, sums(3, 1, 1, 111))}},
		"of a key":   {usage.Query{Width: 24 * time.Hour, Keys: []tenancy.KeyID{key}}, []usage.Row{row(day, usage.Group{}, sums(1, 0, 1, 100))}},
		"of models":  {usage.Query{Width: 24 * time.Hour, Models: []string{"n", "x"}}, []usage.Row{row(day, usage.Group{}, sums(1, 1, 0, 10))}},
		"of agents":  {usage.Query{Width: 24 * time.Hour, Agents: []agent.Name{"b"}}, []usage.Row{row(day, usage.Group{}, sums(1, 0, 0, 1000))}},
		"of nothing": {usage.Query{Width: 24 * time.Hour, Users: []tenancy.UserID{eve.User()}}, []usage.Row{}},
	} {
		c.q.Since = day
		if c.q.Until.IsZero() {
			c.q.Until = day.Add(48 * time.Hour)
		}
		q, err := c.q.Normal(day)
		must(t, err)
		got, err := s.Usage().Report(t.Context(), tenancy.RealmOf(a), q)
		must(t, err)
		if len(got)+len(c.want) > 0 {
			t.Log(name)
			same(t, got, c.want)
		}
	}
	q, err := usage.Query{Since: day, Until: day.Add(48 * time.Hour), By: []usage.Dimension{usage.ByOrg}}.Normal(day)
	must(t, err)
	q.Width = 24 * time.Hour
	all, err := s.Usage().ReportAll(t.Context(), q)
	must(t, err)
	same(t, all, []usage.Row{
		row(day, usage.Group{Org: a}, sums(4, 1, 1, 1111)), row(day, usage.Group{Org: eve.Org()}, sums(1, 0, 0, 10_000)),
		row(day.Add(24*time.Hour), usage.Group{Org: a}, sums(1, 0, 0, 100_000)),
	})
	none, err := s.Usage().Report(t.Context(), tenancy.Realm{}, q)
	if must(t, err); len(none) != 0 {
		t.Errorf("the zero realm shows %v", none)
	}
}

func usageReportsAreBounded(t *testing.T, s ports.Storage) {
	ann := someone(t, "a", "ann")
	var all []usage.Record
	for i := range usage.MaxRows + 1 {
		all = append(all, usage.Record{ID: usage.NewID(start, entropy()), Model: "m" + string(rune('0'+i%10)) + string(rune('a'+i/10%26)) + string(rune('a'+i/260%26)) + string(rune('a'+i/6760)), At: start})
	}
	for len(all) > 0 {
		n := min(len(all), 2000)
		must(t, s.Usage().Record(t.Context(), ann, all[:n]...))
		all = all[n:]
	}
	q, err := usage.Query{Since: start.Add(-time.Hour), Until: start.Add(time.Hour), By: []usage.Dimension{usage.ByModel}}.Normal(start)
	must(t, err)
	if rows, err := s.Usage().Report(t.Context(), tenancy.RealmOf(ann.Org()), q); !fault.Is(err, fault.Invalid) {
		t.Errorf("a report of more rows than it may have: %d rows, %v", len(rows), err)
	}
}
