package catalog_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	cachemem "agentapi/adapters/cache/memory"
	"agentapi/application/catalog"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

type stub struct {
	can  agent.Capabilities
	said []agent.Model
	err  error
	asks int
}

func (s *stub) Run(context.Context, agent.Task) ports.Events { return nil }
func (s *stub) Capabilities() agent.Capabilities             { return s.can }
func (s *stub) Probe(context.Context) error                  { return nil }
func (s *stub) Models(context.Context) ([]agent.Model, error) {
	s.asks++
	return s.said, s.err
}

func open(t *testing.T, strict bool, agents map[agent.Name]*stub, configured map[agent.Name][]string) *catalog.Service {
	t.Helper()
	var o cachemem.Options
	o.SetDefaults()
	cache, err := cachemem.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	p := catalog.Params{Cache: cache, Now: time.Now, Strict: strict, Routing: catalog.Routing{
		Default: []agent.Name{"up", "two"},
		Aliases: map[string][]agent.Candidate{"gpt-4o": {{Agent: "up", Model: "mock-1"}, {Agent: "two", Model: "mock-1"}}},
	}}
	for n, a := range agents {
		e := catalog.Entry{Name: n, Agent: a}
		for _, id := range configured[n] {
			e.Models = append(e.Models, agent.Model{ID: id})
		}
		p.Entries = append(p.Entries, e)
	}
	s, err := catalog.New(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func house(t *testing.T) *catalog.Service {
	return open(t, false, map[agent.Name]*stub{"up": {}, "two": {}, "router": {}, "quiet": {}}, map[agent.Name][]string{
		"up": {"mock-1", "mock-2"}, "two": {"mock-1"}, "router": {"vendor/*"},
	})
}

func TestModelsAreListedOncePerName(t *testing.T) {
	s := house(t)
	all, err := s.Models(t.Context(), tenancy.Principal{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, l := range all {
		ids = append(ids, l.ID)
		if l.Created.Unix() <= 0 || l.OwnedBy == "" {
			t.Errorf("%+v", l)
		}
	}
	want := []string{"gpt-4o", "mock-1", "mock-2", "two/mock-1", "up/mock-1", "up/mock-2"}
	if !slices.Equal(ids, want) {
		t.Errorf("got %q", ids)
	}
}

func TestHowANameIsResolved(t *testing.T) {
	s := house(t)
	for name, want := range map[string]string{
		"gpt-4o":            "alias: up/mock-1 two/mock-1",
		"mock-1":            "default: up/mock-1 two/mock-1",
		"mock-2":            "default: up/mock-2",
		"two/mock-1":        "agent: two/mock-1",
		"router/vendor/x:y": "agent: router/vendor/x:y",
		"quiet/whatever":    "agent: quiet/whatever",
		"vendor/x":          "",
		"two/mock-2":        "",
		"nope":              "",
		"":                  "",
	} {
		route, err := s.Resolve(t.Context(), tenancy.Principal{}, name)
		if want == "" {
			if f := fault.As(err); f == nil || f.Kind != fault.NotFound || f.Code != "model_not_found" || f.Param != "model" {
				t.Errorf("%q: got %v, %v", name, route, err)
			}
			continue
		}
		got := route.Via + ":"
		for _, c := range route.Candidates {
			got += " " + c.String()
		}
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v", name, got, err)
		}
		if _, err := s.Model(t.Context(), tenancy.Principal{}, name); err != nil {
			t.Errorf("%q resolves, but cannot be retrieved: %v", name, err)
		}
	}
}

func TestAnUnknownModelHintsAtTheNearest(t *testing.T) {
	_, err := house(t).Resolve(t.Context(), tenancy.Principal{}, "mock1")
	if f := fault.As(err); f == nil || !strings.Contains(f.Hint, "mock-1") {
		t.Errorf("got %v", err)
	}
}

func TestAnAliasSkipsAnAgentThatCannotHonourTheRequest(t *testing.T) {
	models := map[agent.Name][]string{"up": {"mock-1"}, "two": {"mock-1"}}
	s := open(t, false, map[agent.Name]*stub{"up": {}, "two": {can: agent.Capabilities{Tools: true}}}, models)
	r := &chat.Request{N: 1, Tools: []chat.ToolSpec{{Name: "f"}}}
	route, err := s.Resolve(t.Context(), tenancy.Principal{}, "gpt-4o")
	if err != nil {
		t.Fatal(err)
	}
	fit, err := s.Fit(route, r)
	if err != nil || len(fit.Candidates) != 1 || fit.Candidates[0].Agent != "two" {
		t.Errorf("got %v, %v", fit, err)
	}
	r.N = 2
	if _, err := s.Fit(route, r); fault.As(err) == nil || fault.As(err).Kind != fault.Unsupported {
		t.Errorf("where none can: got %v", err)
	}
}

func TestStrictRefusesWhatWouldBeIgnored(t *testing.T) {
	models := map[agent.Name][]string{"up": {"mock-1"}, "two": {"mock-1"}}
	r := &chat.Request{N: 1, Params: []string{"temperature"}}
	for _, strict := range []bool{false, true} {
		s := open(t, strict, map[agent.Name]*stub{"up": {}, "two": {}}, models)
		route, err := s.Resolve(t.Context(), tenancy.Principal{}, "mock-1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Fit(route, r); (err != nil) != strict {
			t.Errorf("strict %v: got %v", strict, err)
		}
	}
}

func TestAnAgentWithoutConfiguredModelsIsAsked(t *testing.T) {
	up := &stub{said: []agent.Model{{ID: "found"}}}
	s := open(t, false, map[agent.Name]*stub{"up": up, "two": {}}, nil)
	if err := s.Refresh(t.Context(), "up"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve(t.Context(), tenancy.Principal{}, "found"); err != nil {
		t.Error(err)
	}
	if err := s.Refresh(t.Context(), "up"); err != nil || up.asks != 1 {
		t.Errorf("what it said was not shared: asked %d times, %v", up.asks, err)
	}
}

func TestARouteToAnAgentThatIsNotThereStopsTheStart(t *testing.T) {
	for _, r := range []catalog.Routing{
		{Default: []agent.Name{"nope"}}, {Aliases: map[string][]agent.Candidate{"a": {{Agent: "nope", Model: "m"}}}},
	} {
		_, err := catalog.New(catalog.Params{Routing: r, Now: time.Now})
		if err == nil || !strings.Contains(err.Error(), "nope") || !strings.Contains(err.Error(), "routing.") {
			t.Errorf("got %v", err)
		}
	}
}

func TestAnAgentThatIsOffIsPassedOver(t *testing.T) {
	s := house(t)
	s.Switch(map[agent.Name]agent.Verdict{"up": agent.Disabled, "quiet": agent.Drained})
	resolved := func(want map[string]string) {
		t.Helper()
		for name, want := range want {
			route, err := s.Resolve(t.Context(), tenancy.Principal{}, name)
			if want == "" {
				if f := fault.As(err); f == nil || f.Kind != fault.Unavailable || f.Code != "agent_unavailable" || !strings.Contains(f.Message, "administrator") {
					t.Errorf("%q: got %v, %v", name, route, err)
				}
				continue
			}
			got := ""
			for _, c := range route.Candidates {
				got += c.String() + " "
			}
			if err != nil || strings.TrimSpace(got) != want {
				t.Errorf("%q: got %q, %v", name, got, err)
			}
		}
	}
	resolved(map[string]string{"gpt-4o": "two/mock-1", "mock-1": "two/mock-1", "mock-2": "", "up/mock-1": "", "quiet/x": "", "router/vendor/x": "router/vendor/x"})
	listed := func() (ids []string) {
		all, err := s.Models(t.Context(), tenancy.Principal{})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			ids = append(ids, l.ID)
		}
		return ids
	}
	if got := listed(); !slices.Equal(got, []string{"gpt-4o", "mock-1", "two/mock-1"}) {
		t.Errorf("listed are %q", got)
	}
	s.Switch(map[agent.Name]agent.Verdict{"up": agent.Disabled, "two": agent.Disabled})
	if got := listed(); len(got) != 0 {
		t.Errorf("listed are %q", got)
	}
	resolved(map[string]string{"gpt-4o": "", "mock-1": ""})
	s.Switch(nil)
	resolved(map[string]string{"gpt-4o": "up/mock-1 two/mock-1", "mock-2": "up/mock-2"})
}

func TestWhoIsIllIsAskedLast(t *testing.T) {
	s := house(t)
	for name, c := range map[string]struct {
		ill  []agent.Name
		asks string // the model, and who is asked for it
		lost string
	}{
		"nobody is":                           {nil, "mock-1 up two", ""},
		"one is":                              {[]agent.Name{"up"}, "mock-1 two up", "mock-2"},
		"an alias goes by it, too":            {[]agent.Name{"up"}, "gpt-4o two up", "mock-2"},
		"all are":                             {[]agent.Name{"up", "two"}, "mock-1 up two", "gpt-4o mock-1 mock-2"},
		"who is alone is asked all the same":  {[]agent.Name{"up"}, "mock-2 up", "mock-2"},
		"who is named is asked all the same":  {[]agent.Name{"up"}, "up/mock-1 up", "mock-2"},
		"who is well does not lose its place": {[]agent.Name{"two"}, "mock-1 up two", ""},
	} {
		ill := make(map[agent.Name]bool)
		for _, n := range c.ill {
			ill[n] = true
		}
		if lost := strings.Join(s.Avoid(ill), " "); lost != c.lost {
			t.Errorf("%s: nobody answers to %q, not %q", name, lost, c.lost)
		}
		asks := strings.Fields(c.asks)
		route, err := s.Resolve(t.Context(), tenancy.Principal{}, asks[0])
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, to := range route.Candidates {
			got = append(got, string(to.Agent))
		}
		if !slices.Equal(got, asks[1:]) {
			t.Errorf("%s: asked are %v, not %v", name, got, asks[1:])
		}
	}
}
