// Package catalog knows which models there are and which agents serve them.
package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Entry is one configured agent.
type Entry struct {
	Name   agent.Name
	Agent  ports.Agent
	Models []agent.Model // as configured; empty: the agent is asked
}

// Routing is the configured ways to the agents.
type Routing struct {
	Default []agent.Name                 // where a bare id is looked for, in order
	Aliases map[string][]agent.Candidate // a name of its own, and who answers to it, in order
	Plans   map[string]agent.Plan        // how those of an alias are chosen among; absent: in their order
}

// Params is what a Service needs.
type Params struct {
	Entries []Entry
	Routing Routing
	Cache   ports.Cache // shares what agents said of their models; may be lost
	Now     func() time.Time
	// Strict refuses a request whose parameters an agent would ignore, rather
	// than to report them as ignored.
	Strict bool
}

// Listed is a model as callers see it.
type Listed struct {
	ID      string
	Created time.Time
	OwnedBy string
	Context int // tokens; 0: not known
}

// Service lists and resolves models. It is safe for concurrent use.
type Service struct {
	entries map[agent.Name]*entry
	names   []agent.Name // all, sorted
	routing Routing
	cache   ports.Cache
	started time.Time
	strict  bool
	off     atomic.Pointer[map[agent.Name]agent.Verdict] // out of service, and why; nil: none
	ill     atomic.Pointer[map[agent.Name]bool]          // tried last; nil: none
}

type entry struct {
	Entry
	said atomic.Pointer[[]agent.Model] // what the agent said, where nothing is configured
}

// New makes a Service. It fails when the routing names an agent that is not there.
func New(p Params) (*Service, error) {
	s := &Service{entries: make(map[agent.Name]*entry), routing: p.Routing, cache: p.Cache, started: p.Now(), strict: p.Strict}
	for _, e := range p.Entries {
		s.entries[e.Name] = &entry{Entry: e}
		s.names = append(s.names, e.Name)
	}
	slices.Sort(s.names)
	for i, n := range p.Routing.Default {
		if s.entries[n] == nil {
			return nil, s.noAgent(fmt.Sprintf("routing.default[%d]", i), n)
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(p.Routing.Aliases)) {
		for i, c := range p.Routing.Aliases[alias] {
			if s.entries[c.Agent] == nil {
				return nil, s.noAgent(fmt.Sprintf("routing.aliases.%s[%d]", alias, i), c.Agent)
			}
		}
	}
	return s, nil
}

func (s *Service) noAgent(path string, n agent.Name) error {
	have := make([]string, len(s.names))
	for i, n := range s.names {
		have[i] = string(n)
	}
	return fault.Invalidf(path, "invalid_value", "%s: there is no agent %q (have %s)", path, n, strings.Join(have, ", "))
}

// Entries gives the configured agents, sorted by name.
func (s *Service) Entries() []Entry {
	out := make([]Entry, len(s.names))
	for i, n := range s.names {
		out[i] = s.entries[n].Entry
	}
	return out
}

// Agent gives the agent of that name. The name must come from a Route.
func (s *Service) Agent(n agent.Name) ports.Agent { return s.entries[n].Agent }

// Serving gives the models of one agent: as configured, else as it said last.
func (s *Service) Serving(n agent.Name) []agent.Model {
	e := s.entries[n]
	if e == nil {
		return nil
	}
	return e.models()
}

func (e *entry) models() []agent.Model {
	if len(e.Models) > 0 {
		return e.Models
	}
	if said := e.said.Load(); said != nil {
		return *said
	}
	return nil
}

// Known is what is known of a candidate's model; the longest prefix counts where none has
// its name. The agent's name must come from a Route.
func (s *Service) Known(c agent.Candidate) (best agent.Model) {
	for _, m := range s.entries[c.Agent].models() {
		if m.ID == c.Model {
			return m
		}
		if m.Serves(c.Model) && len(m.ID) > len(best.ID) {
			best = m
		}
	}
	return best
}

// serves tells whether the agent answers to a model id. One that could not say
// what it has is asked for anything.
func (e *entry) serves(id string) bool {
	models := e.models()
	return len(models) == 0 || slices.ContainsFunc(models, func(m agent.Model) bool { return m.Serves(id) })
}

// keep is how long what an agent said of its models is shared.
const keep = 5 * time.Minute

// Refresh asks the agent for its models, unless they are configured or another
// instance has asked lately. What was known stays where the agent fails.
func (s *Service) Refresh(ctx context.Context, n agent.Name) error {
	e := s.entries[n]
	if e == nil || len(e.Models) > 0 {
		return nil
	}
	key := "models:" + string(n)
	if text, ok, err := s.cache.Get(ctx, key); err == nil && ok {
		var models []agent.Model
		if json.Unmarshal(text, &models) == nil {
			e.said.Store(&models)
			return nil
		}
	}
	models, err := e.Agent.Models(ctx)
	if err != nil {
		return err
	}
	e.said.Store(&models)
	if text, err := json.Marshal(models); err == nil {
		// A cache that is away costs another question, nothing else.
		_ = s.cache.Set(ctx, key, text, keep)
	}
	return nil
}

// Models lists what the caller may ask for, in a stable order: aliases, bare
// ids once, and agent/model.
func (s *Service) Models(_ context.Context, who tenancy.Principal) ([]Listed, error) {
	var out []Listed
	seen := make(map[string]bool)
	add := func(id string, m agent.Model, by ...string) {
		if !seen[id] && who.MayAsk(id) == nil && who.OrgAllows(append(by, id)...) {
			seen[id] = true
			out = append(out, s.listed(id, m))
		}
	}
	for _, alias := range slices.Sorted(maps.Keys(s.routing.Aliases)) {
		if working := s.working(s.routing.Aliases[alias]); len(working) > 0 {
			add(alias, agent.Model{OwnedBy: "agentapi"}, spelled(working)...)
		}
	}
	for _, qualified := range []bool{false, true} {
		names := s.names
		if !qualified {
			names = s.routing.Default
		}
		for _, n := range names {
			if s.Off(n) {
				continue
			}
			for _, m := range s.entries[n].models() {
				if m.Wildcard() {
					continue
				}
				if whole := string(n) + "/" + m.ID; qualified {
					add(whole, ownedBy(m, n))
				} else {
					add(m.ID, ownedBy(m, n), whole)
				}
			}
		}
	}
	return out, nil
}

// spelled is how candidates may be asked for.
func spelled(all []agent.Candidate) []string {
	out := make([]string, len(all))
	for i, c := range all {
		out[i] = c.String()
	}
	return out
}

func ownedBy(m agent.Model, n agent.Name) agent.Model {
	m.OwnedBy = cmp.Or(m.OwnedBy, string(n))
	return m
}

func (s *Service) listed(id string, m agent.Model) Listed {
	if m.Created.Unix() <= 0 {
		m.Created = s.started
	}
	return Listed{ID: id, Created: m.Created, OwnedBy: m.OwnedBy, Context: m.Context}
}

// Model finds one by any of its names, those that a wildcard matches included.
// fault.NotFound with code model_not_found and the nearest names as a hint.
func (s *Service) Model(ctx context.Context, who tenancy.Principal, name string) (Listed, error) {
	all, err := s.Models(ctx, who)
	if err != nil {
		return Listed{}, err
	}
	if i := slices.IndexFunc(all, func(l Listed) bool { return l.ID == name }); i >= 0 {
		return all[i], nil
	}
	route, err := s.Resolve(ctx, who, name)
	if err != nil {
		return Listed{}, err
	}
	return s.listed(name, agent.Model{OwnedBy: string(route.Candidates[0].Agent)}), nil
}

// Resolve gives the candidates for a model's name, best first. An alias goes
// along its list; agent/model is that agent alone; a bare id goes along the
// default route. Agents that are out of service are passed over; fault.Unavailable,
// code agent_unavailable, where no other is left. fault.NotFound as in Model;
// fault.Forbidden where the caller's API key is for other models only. The route that
// comes with an error says only who was passed over.
func (s *Service) Resolve(ctx context.Context, who tenancy.Principal, name string) (agent.Route, error) {
	route := s.resolve(name)
	if !who.OrgAllows(name) { // whole; then the single candidates count
		route.Pass(passing(func(c agent.Candidate) bool { return who.OrgAllows(c.String()) }))
	}
	if len(route.Candidates) == 0 {
		return route, s.unknown(ctx, who, name)
	}
	route, err := s.inService(name, route)
	if err != nil || who.MayAsk(name) == nil {
		return route, err
	}
	route.Pass(passing(func(c agent.Candidate) bool { return who.MayAsk(c.String()) == nil }))
	if len(route.Candidates) == 0 {
		return route, who.MayAsk(name)
	}
	return route, nil
}

// passing judges candidates by whether the caller may ask for them.
func passing(may func(agent.Candidate) bool) func(agent.Candidate) (agent.Verdict, string) {
	return func(c agent.Candidate) (v agent.Verdict, why string) {
		if !may(c) {
			v = agent.NotAllowed
		}
		return v, ""
	}
}

// resolve gives who answers to a name, whoever asks; nobody: there are no candidates.
func (s *Service) resolve(name string) (route agent.Route) {
	if cs := s.routing.Aliases[name]; len(cs) > 0 {
		return agent.Route{Candidates: cs, Via: "alias", Plan: s.routing.Plans[name]}
	}
	known := func(n agent.Name) bool { return s.entries[n] != nil }
	if c, ok := agent.SplitModel(name, known); ok {
		if s.entries[c.Agent].serves(c.Model) {
			route.Candidates, route.Via = []agent.Candidate{c}, "agent"
		}
		return route
	}
	for _, n := range s.routing.Default {
		e := s.entries[n]
		if len(e.models()) > 0 && e.serves(name) {
			route.Candidates, route.Via = append(route.Candidates, agent.Candidate{Agent: n, Model: name}), "default"
		}
	}
	return route
}

// Fit keeps the candidates that can honour the request. Where none can, it
// fails as the first would: fault.Unsupported.
func (s *Service) Fit(route agent.Route, r *chat.Request) (agent.Route, error) {
	var first error
	route.Pass(func(c agent.Candidate) (agent.Verdict, string) {
		can := s.Agent(c.Agent).Capabilities()
		err := can.Unfit(c.Agent, r)
		if ignored := can.Ignored(r); err == nil && s.strict && len(ignored) > 0 {
			err = fault.New(fault.Unsupported, "The agent %s does not support %s.", c.Agent, ignored[0]).
				WithCode("unsupported_parameter").WithParam(ignored[0])
		}
		if err == nil {
			return "", ""
		}
		if first == nil {
			first = err
		}
		return agent.Incapable, fault.As(err).Param
	})
	if len(route.Candidates) == 0 {
		return route, first
	}
	return route, nil
}

// shown is a name as a message may quote it.
func shown(name string) string {
	const most = 100
	if len(name) > most {
		name = name[:most] + "…"
	}
	return strings.ToValidUTF8(name, "�")
}

// unknown says that there is no such model, and which are spelled most alike.
func (s *Service) unknown(ctx context.Context, who tenancy.Principal, name string) error {
	f := fault.NotFoundf("model_not_found", "The model '%s' does not exist or you do not have access to it.", shown(name)).WithParam("model")
	all, err := s.Models(ctx, who)
	if err != nil || len(all) == 0 {
		return f.WithHint("No models are configured; see GET /v1/models.")
	}
	return f.WithHint("Did you mean " + strings.Join(nearest(name, all), ", ") + "? GET /v1/models lists all.")
}
