package operations

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"agentapi/application/catalog"
	"agentapi/domain/agent"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// Model is a model as an agent serves it.
type Model struct {
	ID      string // agent/model, as it may be asked for
	Agent   agent.Name
	Model   agent.Model
	Enabled bool // the agent is in service
}

// Models lists which agent of this instance serves which model, by id.
func (s *Service) Models(_ context.Context, who tenancy.Principal, q page.Query) (page.Of[Model], error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return page.Of[Model]{}, err
	}
	var all []Model
	for _, e := range s.Catalog.Now().Entries() {
		for _, m := range s.Catalog.Now().Serving(e.Name) {
			m.OwnedBy = cmp.Or(m.OwnedBy, string(e.Name))
			all = append(all, Model{ID: string(e.Name) + "/" + m.ID, Agent: e.Name, Model: m, Enabled: !s.Catalog.Now().Off(e.Name)})
		}
	}
	return cut(all, q, func(m Model) string { return m.ID })
}

// Alias is a name of the configuration's own and who answers to it.
type Alias struct {
	Name       string
	Candidates []Candidate // in the order in which they are asked
}

// Candidate is one who may answer to an alias.
type Candidate struct {
	agent.Candidate
	Enabled bool // the agent is in service
}

// Aliases lists the aliases, by name.
func (s *Service) Aliases(_ context.Context, who tenancy.Principal, q page.Query) (page.Of[Alias], error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return page.Of[Alias]{}, err
	}
	var all []Alias
	for name, candidates := range maps.All(s.Catalog.Now().Routing().Aliases) {
		a := Alias{Name: name}
		for _, c := range candidates {
			a.Candidates = append(a.Candidates, Candidate{c, !s.Catalog.Now().Off(c.Agent)})
		}
		all = append(all, a)
	}
	return cut(all, q, func(a Alias) string { return a.Name })
}

// OrgModels lists what an organisation may ask for, by id.
func (s *Service) OrgModels(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, q page.Query) (page.Of[catalog.Listed], error) {
	if _, err := who.Realm(org, tenancy.ReadModels); err != nil {
		return page.Of[catalog.Listed]{}, err
	}
	o, err := s.Storage.Directory().Org(ctx, org)
	if err != nil {
		return page.Of[catalog.Listed]{}, err
	}
	all, err := s.Catalog.Now().Models(ctx, who.Within(o.Models))
	if err != nil {
		return page.Of[catalog.Listed]{}, err
	}
	return cut(all, q, func(m catalog.Listed) string { return m.ID })
}

// cut takes a page out of what has ids of its own, which it sorts by them. A cursor
// need not be there any more.
func cut[T any](all []T, q page.Query, id func(T) string) (out page.Of[T], err error) {
	if q, err = q.Normal(); err != nil {
		return out, err
	}
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(id(a), id(b)) })
	if q.Desc {
		slices.Reverse(all)
	}
	passed := func(cursor string, itself bool) func(T) bool {
		return func(v T) bool {
			c := cmp.Compare(id(v), cursor)
			if q.Desc {
				c = -c
			}
			return c > 0 || c == 0 && itself
		}
	}
	from, to := 0, len(all)
	switch {
	case q.After != "":
		if from = slices.IndexFunc(all, passed(q.After, false)); from < 0 {
			from = len(all)
		}
		out.More, to = len(all)-from > q.Limit, min(len(all), from+q.Limit)
	case q.Before != "":
		if to = slices.IndexFunc(all, passed(q.Before, true)); to < 0 {
			to = len(all)
		}
		out.More, from = to > q.Limit, max(0, to-q.Limit)
	default:
		out.More, to = len(all) > q.Limit, min(len(all), q.Limit)
	}
	out.Items = all[from:to]
	return out, nil
}
