package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
	"agentapi/test/redis"
)

// promptly is the longest that anything may take while something is away.
const promptly = 2 * time.Second

// asked is a request while something is away, and what comes back.
type asked struct {
	method, path, body string
	as                 []string
	status             int
	code               string // of the error
}

// outage takes something away, and wants what is declared for it: what each request
// gets, in time, at once and when it is noticed, and that readiness and the log say so,
// once.
func outage(t *testing.T, s *kit.Server, dep, mode string, ready int, away func(), requests []asked, noticed, back func()) {
	t.Helper()
	says := fmt.Sprintf("degraded: %s %s since 20", dep, mode)
	readiness := func() kit.Answer {
		t.Helper()
		began := time.Now()
		a, err := s.Do(t.Context(), http.MethodGet, "/readyz", "")
		if err != nil || time.Since(began) > promptly {
			t.Errorf("readiness after %v: %v", time.Since(began), err)
		}
		return a
	}
	send := func() {
		t.Helper()
		for _, r := range requests {
			headers := r.as
			if r.body != "" {
				headers = append(headers, "Content-Type", "application/json")
			}
			began := time.Now()
			a, err := s.Do(t.Context(), r.method, r.path, r.body, headers...)
			took := time.Since(began)
			if err != nil || a.Status != r.status || !strings.Contains(a.Body, r.code) || took > promptly || (a.Status == 503) != (a.Header.Get("Retry-After") != "") {
				t.Errorf("%s %s: %d %s after %v, Retry-After %q, %v", r.method, r.path, a.Status, a.Body, took, a.Header.Get("Retry-After"), err)
			}
		}
	}
	away()
	send()
	if !kit.Soon(10*time.Second, func() bool { a := readiness(); return a.Status == ready && strings.Contains(a.Body, says) }) {
		t.Errorf("readiness does not tell: %+v", readiness())
	}
	if noticed != nil {
		noticed()
	}
	send()
	if a, err := s.Do(t.Context(), http.MethodGet, "/readyz?verbose", ""); err != nil || !strings.Contains(a.Body, says) {
		t.Errorf("with its parts: %v %v", a, err)
	}
	if back == nil {
		return
	}
	back()
	if !kit.Soon(15*time.Second, func() bool { a := readiness(); return a.Status == 200 && !strings.Contains(a.Body, "degraded") }) {
		t.Fatalf("it does not come back: %+v", readiness())
	}
	if _, err := s.Stop(10 * time.Second); err != nil { // which writes all of the log
		t.Fatal(err)
	}
	lines := s.Logs.String()
	for _, msg := range []string{"\"degraded\"", "\"no more degraded\""} {
		n := 0
		for line := range strings.SplitSeq(lines, "\n") {
			if strings.Contains(line, `"msg":`+msg) && strings.Contains(line, fmt.Sprintf(`"dep":%q,"mode":%q`, dep, mode)) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is said %d times:\n%s", msg, n, lines)
		}
	}
}

const logged = "log: {format: json}\n"

func TestTheDeclaredDegradedModesHold(t *testing.T) {
	t.Run("Postgres away", func(t *testing.T) {
		t.Parallel()
		d, _ := migrated(t, postgres.Shared(t))
		proxy := postgres.Before(t, d.Server.Addr)
		u := kit.NewUpstream(t, "ok")
		config := staff + logged + fmt.Sprintf("agents: {up: {driver: openai, models: [mock-1], openai: {base_url: %q}}}\n", u.URL)
		s := kit.Start(t, kit.Options{Config: config, Env: []string{"DATABASE_URL=" + d.At(d.App, proxy.Addr)}})
		for _, who := range []string{"victim", "platform_admin"} {
			if a := s.Chat(t, kit.Ask("mock-1", "hello"), as(who)...); a.Status != 200 {
				t.Fatalf("%d %s", a.Status, a.Body)
			}
		}
		var before int
		unavailable := "storage_unavailable"
		outage(t, s, "storage", "refusing", 503, proxy.Down, []asked{
			{"POST", "/v1/chat/completions", kit.Ask("mock-1", "hello"), as("victim"), 503, unavailable},
			{"POST", "/v1/chat/completions", kit.AskStream("mock-1", "hello"), append(as("victim"), "X-Session-Id", "mine"), 503, unavailable},
			{"POST", "/v1/chat/completions", kit.AskStream("mock-1", "hello"), append(as("victim"), "Idempotency-Key", "k"), 503, unavailable},
			{"GET", "/v1/models", "", as("victim"), 200, "mock-1"},
			{"POST", "/api/v1/sessions", `{}`, as("victim"), 503, unavailable},
			{"POST", "/api/v1/platform/agents/up/drain", `{}`, as("platform_admin"), 503, unavailable},
			{"GET", "/api/v1/platform/agents", "", as("platform_admin"), 503, unavailable},
		}, func() { before = u.Requests() }, proxy.Mend)
		if n := u.Requests(); n != before {
			t.Errorf("an agent was asked %d times while nothing could be stored", n-before)
		}
	})
	t.Run("Redis away", func(t *testing.T) {
		t.Parallel()
		r := redis.New(t)
		s := kit.Start(t, kit.Options{Config: staff + logged + "storage: {driver: memory}\nagents: {demo: {driver: demo, models: [echo]}}\n", Env: []string{"REDIS_URL=" + r.URL}})
		outage(t, s, "redis", "local_limits", 200, r.Kill, []asked{
			{"POST", "/v1/chat/completions", kit.Ask("echo", "hello"), as("victim"), 200, "hello"},
			{"POST", "/v1/chat/completions", kit.Ask("echo", "hello"), append(as("victim"), "X-Session-Id", "mine"), 200, "hello"},
			{"GET", "/v1/models", "", as("victim"), 200, "echo"},
			{"POST", "/api/v1/sessions", `{}`, as("victim"), 201, "session"},
			{"GET", "/api/v1/platform/agents", "", as("platform_admin"), 200, "demo"},
		}, nil, func() {
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("the identity provider away", func(t *testing.T) {
		t.Parallel()
		for name, c := range map[string]struct {
			chain string
			ready int
		}{"with nobody else to ask": {"[oidc]", 503}, "with API keys": {"[oidc, apikey]", 200}} {
			issuer := kit.NewIssuer(t)
			bearer := []string{"Authorization", "Bearer " + issuer.Token(t, nil)}
			issuer.Away.Store(true)
			o := kit.Options{Config: logged + "storage: {driver: memory}\nidentity: {chain: " + c.chain + "}\nagents: {demo: {driver: demo, models: [echo]}}\n", Env: []string{"OIDC_ISSUER=" + issuer.URL}}
			s, err := kit.Launch(t, o)
			if c.ready == 200 && err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Kill)
			t.Log(name)
			outage(t, s, "identity", "stale_keys", c.ready, func() {}, []asked{
				{"POST", "/v1/chat/completions", kit.Ask("echo", "hello"), bearer, 503, "auth_unavailable"},
				{"GET", "/v1/models", "", bearer, 503, "auth_unavailable"},
			}, nil, nil)
			if c.ready != 200 {
				continue
			}
			issuer.Away.Store(false)
			if !kit.Soon(20*time.Second, func() bool { return s.Chat(t, kit.Ask("echo", "hello"), bearer...).Status == 200 }) {
				t.Error("it does not come back")
			}
			issuer.Away.Store(true) // its keys are known now
			if a := s.Chat(t, kit.Ask("echo", "hello"), bearer...); a.Status != 200 {
				t.Errorf("by a key that is known: %d %s", a.Status, a.Body)
			}
		}
	})
	t.Run("all agents of a model away", func(t *testing.T) {
		t.Parallel()
		config := staff + logged + fmt.Sprintf(`storage: {driver: memory}
agents:
  a: {driver: openai, models: [m], health: {interval: 1s, failures: 2}, openai: {base_url: %q}}
  b: {driver: openai, models: [m], health: {interval: 1s, failures: 2}, openai: {base_url: %q}}
  demo: {driver: demo, models: [echo]}
`, kit.Dead(t), kit.Dead(t))
		s := kit.Start(t, kit.Options{Config: config})
		outage(t, s, "agents", "models_unavailable", 200, func() {}, []asked{
			{"POST", "/v1/chat/completions", kit.Ask("m", "hello"), as("victim"), 503, "agent_unavailable"},
			{"POST", "/v1/chat/completions", kit.AskStream("m", "hello"), as("victim"), 503, "agent_unavailable"},
			{"GET", "/v1/models", "", as("victim"), 200, `"id":"m"`},
			{"POST", "/v1/chat/completions", kit.Ask("echo", "hello"), as("victim"), 200, "hello"},
		}, nil, nil)
		if a := s.Chat(t, kit.Ask("m", "hello"), as("victim")...); a.Status != 503 || !strings.Contains(a.Body, "agent_unavailable") || a.Header.Get("Retry-After") == "" {
			t.Errorf("when all are unhealthy: %d %s", a.Status, a.Body)
		}
	})
}
