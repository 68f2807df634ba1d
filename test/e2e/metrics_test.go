package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/redis"
)

// scrape reads the metrics at an address: the value of each series, as it is written.
func scrape(t *testing.T, port int) map[string]string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
	out := make(map[string]string)
	for line := range strings.SplitSeq(string(text), "\n") {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			out[line[:i]] = line[i+1:]
		}
	}
	return out
}

// counted is a server whose metrics are served at a port.
func counted(t *testing.T, config string, env ...string) (*kit.Server, int) {
	t.Helper()
	port := kit.FreePort(t)
	return kit.Start(t, kit.Options{
		Config: config + fmt.Sprintf("telemetry: {listen: '127.0.0.1:%d', metrics: {enabled: true}}\n", port), Env: env,
	}), port
}

func TestTheMetricsCountWhatHappened(t *testing.T) {
	t.Parallel()
	good, bad := kit.NewUpstream(t, "ok"), kit.NewUpstream(t, "500")
	s, port := counted(t, staff+fmt.Sprintf(`storage: {driver: memory}
agents:
  bad: {driver: openai, models: [mock-1, only-bad], breaker: {failures: 1000}, health: {failures: 1000}, openai: {base_url: %q}}
  good: {driver: openai, models: [mock-1, 'any-*'], openai: {base_url: %q}}
routing: {default: [bad, good]}
limits: {models: {limited: {requests_per_minute: 1}, good/limited: {requests_per_minute: 1}}}
billing: {prices: {good/mock-1: {input: 1000000, output: 2000000}}}
`, bad.URL, good.URL))
	who := as("victim")
	for i := range 5 {
		if a := s.Chat(t, kit.Ask("good/mock-1", "hello"), who...); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if a := s.Chat(t, kit.AskStream("good/mock-1", "hello"), who...); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if i < 3 {
			if a := s.Chat(t, kit.Ask("mock-1", "hello"), who...); a.Status != 200 { // the first agent fails
				t.Fatalf("%d %s", a.Status, a.Body)
			}
			if a := s.Chat(t, kit.Ask("bad/only-bad", "hello"), who...); a.Status != 502 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
		}
		if a := s.Chat(t, kit.Ask(fmt.Sprintf("good/any-%d", i), "hello"), who...); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	for range 2 {
		s.Chat(t, kit.Ask("good/mock-1", "hello"), "Authorization", "Bearer sk-agentapi-nobody")
		s.Chat(t, kit.Ask("nothing", "hello"), who...)
	}
	s.Chat(t, kit.Ask("good/mock-1", "hello"), "Authorization", "")
	got := scrape(t, port)
	for series, want := range map[string]string{
		`agentapi_http_requests_total{code="200",method="POST",route="/v1/chat/completions"}`: "18",
		`agentapi_http_requests_total{code="502",method="POST",route="/v1/chat/completions"}`: "3",
		`agentapi_http_requests_total{code="404",method="POST",route="/v1/chat/completions"}`: "2",
		`agentapi_http_requests_total{code="401",method="POST",route="none"}`:                 "3",
		`agentapi_http_request_duration_seconds_count{method="POST",route="none"}`:            "3",
		`agentapi_requests_in_flight`:                                                    "0",
		`agentapi_auth_failures_total{reason="invalid_api_key"}`:                         "2",
		`agentapi_auth_failures_total{reason="missing"}`:                                 "1",
		`agentapi_agent_requests_total{agent="good",model="mock-1",outcome="ok"}`:        "13",
		`agentapi_agent_requests_total{agent="good",model="other",outcome="ok"}`:         "5",
		`agentapi_agent_requests_total{agent="bad",model="mock-1",outcome="upstream"}`:   "3",
		`agentapi_agent_requests_total{agent="bad",model="only-bad",outcome="upstream"}`: "3",
		`agentapi_failovers_total{from="bad",reason="upstream",to="good"}`:               "3",
		`agentapi_tokens_total{agent="good",direction="input",model="mock-1"}`:           "143", // 13 × 11
		`agentapi_tokens_total{agent="good",direction="output",model="mock-1"}`:          "91",  // 13 × 7
		`agentapi_tokens_total{agent="good",direction="output",model="other"}`:           "35",
		`agentapi_tokens_total{agent="bad",direction="output",model="mock-1"}`:           "0",
		`agentapi_time_to_first_token_seconds_count{agent="good",model="mock-1"}`:        "13",
		`agentapi_agent_request_duration_seconds_count{agent="good",model="mock-1"}`:     "13",
		`agentapi_cost_total{agent="good",currency="usd",model="mock-1"}`:                "0.000325", // 13 × (11 + 2 × 7) millionths
		`agentapi_streams_active{agent="good"}`:                                          "0",
		`agentapi_sessions_active`:                                                       "0",
		`agentapi_circuit_breaker_state{agent="good"}`:                                   "0",
		`agentapi_agent_up{agent="good"}`:                                                "1",
		`agentapi_degraded{dep="storage",mode="refusing"}`:                               "0",
		`agentapi_audit_queue_length`:                                                    "0",
	} {
		if strings.HasPrefix(series, "agentapi_cost") && strings.HasPrefix(got[series], want) {
			continue // as exact as a sum of fractions is
		}
		if got[series] != want {
			t.Errorf("%s is %q, want %s", series, got[series], want)
		}
	}
	for series := range got {
		for _, word := range []string{"victim", "org_", "user_", "any-"} {
			if strings.Contains(series, word) {
				t.Errorf("%s is about somebody", series)
			}
		}
	}
	if a, err := s.Do(t.Context(), http.MethodGet, "/metrics", ""); err != nil || a.Status != 404 || !strings.Contains(a.Body, "telemetry.metrics.public") {
		t.Errorf("to callers: %d %s %v", a.Status, a.Body, err)
	}
}

func TestARunningStreamIsCounted(t *testing.T) {
	t.Parallel()
	up := kit.NewUpstream(t, "half")
	s, port := counted(t, staff+fmt.Sprintf("storage: {driver: memory}\nagents: {up: {driver: openai, models: [m], openai: {base_url: %q}}}\n", up.URL))
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("m", "hello"), as("victim")...)
	if err != nil {
		t.Fatal(err)
	}
	is := func(running, inFlight, left string) bool {
		got := scrape(t, port)
		return got[`agentapi_streams_active{agent="up"}`] == running && got["agentapi_requests_in_flight"] == inFlight && got["agentapi_client_disconnects_total"] == left
	}
	if !kit.Soon(5*time.Second, func() bool { return is("1", "1", "0") }) {
		t.Errorf("while it runs: %v", scrape(t, port))
	}
	resp.Body.Close()
	if !kit.Soon(5*time.Second, func() bool { return is("0", "0", "1") }) {
		t.Errorf("when its client has left: %v", scrape(t, port))
	}
	if got := scrape(t, port)[`agentapi_agent_requests_total{agent="up",model="m",outcome="canceled"}`]; got != "1" {
		t.Errorf("canceled are %q", got)
	}
}

func TestWhatIsAwayIsAMetric(t *testing.T) {
	t.Parallel()
	r := redis.New(t)
	s, port := counted(t, staff+"storage: {driver: memory}\nagents: {demo: {driver: demo, models: [echo]}}\nlimits: {user: {requests_per_minute: 3}}\n", "REDIS_URL="+r.URL)
	is := func(want string) func() bool {
		return func() bool { return scrape(t, port)[`agentapi_degraded{dep="redis",mode="local_limits"}`] == want }
	}
	if !is("0")() {
		t.Fatal("Redis is said to be away")
	}
	for range 4 {
		s.Chat(t, kit.Ask("echo", "hello"), as("victim")...)
	}
	if got := scrape(t, port); got[`agentapi_rate_limited_total{scope="user"}`] != "1" || got[`agentapi_cache_ops_total{op="take",result="ok"}`] != "4" {
		t.Errorf("limited are %q, taken %q", got[`agentapi_rate_limited_total{scope="user"}`], got[`agentapi_cache_ops_total{op="take",result="ok"}`])
	}
	r.Kill()
	s.Chat(t, kit.Ask("echo", "hello"), as("victim")...)
	if !kit.Soon(15*time.Second, is("1")) {
		t.Error("it is not said that Redis is away")
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	back := func() bool {
		s.Chat(t, kit.Ask("echo", "hello"), as("victim")...) // who asks for a limit finds that it is back
		return is("0")()
	}
	if !kit.Soon(15*time.Second, back) {
		t.Error("it is not said that Redis is back")
	}
}

func TestTheProgramsOfAgentsAreCounted(t *testing.T) {
	t.Parallel()
	s, port := counted(t, staff+fmt.Sprintf("storage: {driver: memory}\nagents:\n  fake: {driver: exec, models: [m], exec: {command: [%q]}}\n  demo: {driver: demo, models: [echo]}\n", kit.FakeAgent(t)))
	is := func(running string) func() bool {
		return func() bool {
			got := scrape(t, port)
			return got[`agentapi_processes{agent="fake",state="running"}`] == running && got[`agentapi_processes{agent="fake",state="idle"}`] == "0" &&
				got[`agentapi_processes{agent="demo",state="running"}`] == "" // which runs none
		}
	}
	if !is("0")() {
		t.Errorf("before anything is asked: %v", scrape(t, port))
	}
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("fake/m", "half"), as("victim")...)
	if err != nil {
		t.Fatal(err)
	}
	if !kit.Soon(10*time.Second, is("1")) {
		t.Errorf("while a program runs: %v", scrape(t, port))
	}
	resp.Body.Close()
	if !kit.Soon(10*time.Second, is("0")) {
		t.Errorf("when its client has left: %v", scrape(t, port))
	}
}

// A droid waits for its conversation's next turn, and ccr's gateway stays.
func TestProgramsThatStayAreCounted(t *testing.T) {
	t.Parallel()
	p := kit.NewProvider(t)
	s, port := counted(t, staff+realAgents(t, p, ""))
	is := func(droids, waiting, gateways string) func() bool {
		return func() bool {
			got := scrape(t, port)
			return got[`agentapi_processes{agent="droid",state="running"}`] == droids && got[`agentapi_processes{agent="droid",state="idle"}`] == waiting &&
				got[`agentapi_processes{agent="ccr",state="running"}`] == gateways && got[`agentapi_processes{agent="up",state="running"}`] == ""
		}
	}
	if !is("0", "0", "0")() {
		t.Errorf("before anything is asked: %v", scrape(t, port))
	}
	for _, model := range []string{"droid/m", "ccr/m"} {
		if a := s.Chat(t, kit.Ask(model, "hello"), as("victim")...); a.Status != 200 {
			t.Fatalf("%s: %d %s", model, a.Status, a.Body)
		}
	}
	if !kit.Soon(10*time.Second, is("0", "1", "1")) {
		t.Errorf("a droid that waits, and a gateway that stays: %v", scrape(t, port))
	}
}
