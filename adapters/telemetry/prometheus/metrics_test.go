package prometheus

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/quota"
	"agentapi/ports"
)

var began = time.Unix(1_700_000_000, 0)

// used is a Metrics of which every metric has been told something.
func used(t *testing.T) *Metrics {
	t.Helper()
	m := New(Build{"1.0.0", "abc", "go1.26"}, "usd", began)
	m.Ask(Sources{
		Known:    func(_ agent.Name, model string) bool { return model != "junk" },
		Streams:  func(tell func(agent.Name, int)) { tell("a", 2) },
		Sessions: func() int { return 3 },
		Agents:   func(tell func(agent.Name, agent.State)) { tell("a", agent.Healthy); tell("b", agent.Unhealthy) },
		Breakers: func(tell func(agent.Name, agent.BreakerState)) { tell("a", agent.Closed); tell("b", agent.Open) },
		Degraded: func(tell func(string, string, bool)) { tell("redis", "local_limits", true) },
		Verified: func() (time.Time, bool) { return began, true },
		Queue:    func() (int, time.Duration) { return 4, time.Minute },
		Pools:    func(tell func(string, int, int, int)) { tell("read", 1, 2, 7) },
		Programs: func(tell func(agent.Name, int, int)) { tell("a", 1, 2) },
		Redis:    func() (int, int64, int64) { return 2, 3, 1 },
	})
	m.Began()
	m.Began()
	m.Ended("POST", "/v1/chat/completions", 200, time.Second, nil)
	m.Ended("BREW", "", 401, time.Second, fault.New(fault.Unauthenticated, "No.").WithCode("invalid_api_key"))
	m.Limited(t.Context(), quota.Key)
	m.Unaffordable(t.Context())
	m.Lost(t.Context(), "x", errors.New("x"))
	m.CompletionEnded(t.Context(), ports.Ended{Err: fault.New(fault.Canceled, "Gone.")})
	m.CompletionEnded(t.Context(), ports.Ended{Tried: []ports.Tried{
		{Agent: "a", Model: "m", Took: time.Second, Err: fault.New(fault.Upstream, "It broke.")},
		{Agent: "b", Model: "junk", Usage: chat.Usage{Prompt: 10, Completion: 5}, Cost: 2_500_000, First: time.Second, Took: 3 * time.Second},
	}})
	m.Audited(2, nil)
	for _, err := range []error{nil, fault.New(fault.NotFound, "None."), fault.New(fault.Unavailable, "Away.")} {
		_, done := m.Storage(t.Context(), "read")
		done(err)
	}
	m.op("get", nil)
	return m
}

func gathered(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]*dto.MetricFamily)
	for _, f := range all {
		if strings.HasPrefix(f.GetName(), "agentapi_") {
			out[f.GetName()] = f
		}
	}
	return out
}

func TestTheTableIsWhatIsServed(t *testing.T) {
	t.Parallel()
	got := gathered(t, used(t))
	for _, d := range Table() {
		f := got[d.Name]
		if f == nil {
			t.Errorf("%s is in the table and is not served", d.Name)
			continue
		}
		delete(got, d.Name)
		if kind := strings.ToLower(f.GetType().String()); kind != string(d.Kind) || f.GetHelp() != d.Help {
			t.Errorf("%s is a %s, %q", d.Name, kind, f.GetHelp())
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if want := slices.Sorted(slices.Values(d.Labels)); !slices.Equal(labels, want) {
			t.Errorf("%s has the labels %v, want %v", d.Name, labels, want)
		}
	}
	if len(got) > 0 {
		t.Errorf("served, but in no table: %v", slices.Sorted(maps.Keys(got)))
	}
}

func TestTheReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(Reference())) {
		t.Errorf("adapters/telemetry/README.md has not this table of the metrics:\n%s", Reference())
	}
}

func TestTheNamesAreGoodPrometheus(t *testing.T) {
	t.Parallel()
	text, err := used(t).Text()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestNothingIsAboutATenant(t *testing.T) {
	t.Parallel()
	for _, d := range Table() {
		for _, l := range d.Labels {
			for _, word := range []string{"org", "user", "key", "tenant", "email", "subject"} {
				if strings.Contains(l, word) {
					t.Errorf("%s has the label %s", d.Name, l)
				}
			}
		}
	}
}

func TestWhatIsToldIsCounted(t *testing.T) {
	t.Parallel()
	want := `
# HELP agentapi_agent_requests_total Attempts of agents to answer; outcome is ok or the kind of the failure, which is canceled where the client left or another agent was faster.
# TYPE agentapi_agent_requests_total counter
agentapi_agent_requests_total{agent="a",model="m",outcome="upstream"} 1
agentapi_agent_requests_total{agent="b",model="other",outcome="ok"} 1
# HELP agentapi_failovers_total Requests that another agent took over; reason is the kind of the failure. Who is asked again, or beside another, takes nothing over.
# TYPE agentapi_failovers_total counter
agentapi_failovers_total{from="a",reason="upstream",to="b"} 1
# HELP agentapi_tokens_total Tokens as they are accounted for; direction is input or output.
# TYPE agentapi_tokens_total counter
agentapi_tokens_total{agent="a",direction="input",model="m"} 0
agentapi_tokens_total{agent="a",direction="output",model="m"} 0
agentapi_tokens_total{agent="b",direction="input",model="other"} 10
agentapi_tokens_total{agent="b",direction="output",model="other"} 5
# HELP agentapi_cost_total What the tokens cost, in units of the currency.
# TYPE agentapi_cost_total counter
agentapi_cost_total{agent="b",currency="usd",model="other"} 2.5
# HELP agentapi_http_requests_total Requests that were answered; code is what the answer came to, also of a stream that failed after its 200, and 499 where the client left.
# TYPE agentapi_http_requests_total counter
agentapi_http_requests_total{code="200",method="POST",route="/v1/chat/completions"} 1
agentapi_http_requests_total{code="401",method="other",route="none"} 1
# HELP agentapi_auth_failures_total Credentials that were refused, by the error's code; missing: there was none.
# TYPE agentapi_auth_failures_total counter
agentapi_auth_failures_total{reason="invalid_api_key"} 1
# HELP agentapi_rate_limited_total Requests that a limit had no room for, by whose it is.
# TYPE agentapi_rate_limited_total counter
agentapi_rate_limited_total{scope="api_key"} 1
# HELP agentapi_storage_errors_total Calls of the storage that failed because of it.
# TYPE agentapi_storage_errors_total counter
agentapi_storage_errors_total{op="read"} 1
# HELP agentapi_requests_in_flight Requests that are being answered, streams included.
# TYPE agentapi_requests_in_flight gauge
agentapi_requests_in_flight 0
# HELP agentapi_degraded 1 while the server does without something that it depends on.
# TYPE agentapi_degraded gauge
agentapi_degraded{dep="redis",mode="local_limits"} 1
# HELP agentapi_circuit_breaker_state The worst of an agent's breakers: 0 closed, 1 half open, 2 open.
# TYPE agentapi_circuit_breaker_state gauge
agentapi_circuit_breaker_state{agent="a"} 0
agentapi_circuit_breaker_state{agent="b"} 2
# HELP agentapi_agent_up 1 where an agent is healthy, degraded or not looked at yet, 0 where it is unhealthy.
# TYPE agentapi_agent_up gauge
agentapi_agent_up{agent="a"} 1
agentapi_agent_up{agent="b"} 0
`
	var names []string
	for line := range strings.SplitSeq(want, "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	if err := testutil.GatherAndCompare(used(t).registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestOnlyAnotherAgentThatTakesOverIsAFailover(t *testing.T) {
	t.Parallel()
	broke, outrun := fault.New(fault.Unavailable, "It broke."), fault.New(fault.Canceled, "Another was faster.")
	for name, c := range map[string]struct {
		tried []ports.Tried
		want  string // from>to
	}{
		"the first answers":                         {[]ports.Tried{{Agent: "a"}}, ""},
		"the same agent is asked again":             {[]ports.Tried{{Agent: "a", Err: broke}, {Agent: "a"}}, ""},
		"another model of the same agent":           {[]ports.Tried{{Agent: "a", Model: "m", Err: broke}, {Agent: "a", Model: "n"}}, ""},
		"another takes over":                        {[]ports.Tried{{Agent: "a", Err: broke}, {Agent: "b"}}, "a>b"},
		"another takes over from one asked twice":   {[]ports.Tried{{Agent: "a", Err: broke}, {Agent: "a", Err: broke}, {Agent: "b"}}, "a>b"},
		"a hedge is faster":                         {[]ports.Tried{{Agent: "a", Err: outrun}, {Agent: "b", Hedge: true}}, ""},
		"a hedge is slower":                         {[]ports.Tried{{Agent: "a"}, {Agent: "b", Hedge: true, Err: outrun}}, ""},
		"a third takes over from both sides' ruins": {[]ports.Tried{{Agent: "a", Err: broke}, {Agent: "b", Hedge: true, Err: broke}, {Agent: "c"}}, "b>c"},
	} {
		m := New(Build{}, "usd", began)
		m.Ask(Sources{Known: func(agent.Name, string) bool { return true }})
		m.CompletionEnded(t.Context(), ports.Ended{Tried: c.tried})
		from, to, one := strings.Cut(c.want, ">")
		if n := testutil.CollectAndCount(m.failovers); one != (n == 1) || n > 1 {
			t.Errorf("%s: %d series, want %q", name, n, c.want)
		} else if one && testutil.ToFloat64(m.failovers.WithLabelValues(from, to, "unavailable")) != 1 {
			t.Errorf("%s: it is not one of %s", name, c.want)
		}
	}
}

func TestModelsThatCallersMakeUpAreOne(t *testing.T) {
	t.Parallel()
	m := New(Build{}, "usd", began)
	m.Ask(Sources{Known: func(_ agent.Name, model string) bool { return strings.HasPrefix(model, "real-") }})
	ask := func(model string) {
		m.CompletionEnded(t.Context(), ports.Ended{Tried: []ports.Tried{{Agent: "a", Model: model}}})
	}
	for i := range 1000 {
		ask(fmt.Sprintf("junk-%d", i))
	}
	if n := testutil.CollectAndCount(m.agents); n != 1 {
		t.Errorf("%d series of models that nobody has", n)
	}
	for i := range 1000 {
		ask(fmt.Sprintf("real-%d", i))
	}
	if n := testutil.CollectAndCount(m.agents); n != mostModels+1 {
		t.Errorf("%d series of one agent, want %d", n, mostModels+1)
	}
}

func BenchmarkACompletion(b *testing.B) {
	m := New(Build{}, "usd", began)
	m.Ask(Sources{Known: func(agent.Name, string) bool { return true }})
	e := ports.Ended{Tried: []ports.Tried{{Agent: "a", Model: "m", Usage: chat.Usage{Prompt: 10, Completion: 5}, First: time.Millisecond, Took: time.Second}}}
	b.ReportAllocs()
	for b.Loop() {
		m.Began()
		m.CompletionEnded(b.Context(), e)
		m.Ended("POST", "/v1/chat/completions", 200, time.Second, nil)
	}
}
