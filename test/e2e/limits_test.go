package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
	"agentapi/test/redis"
)

// limited starts n servers that share a database and a Redis, each with the limits.
func limited(t *testing.T, n int, address, limits string) []*kit.Server {
	t.Helper()
	_, env := migrated(t, postgres.Shared(t))
	servers := make([]*kit.Server, n)
	for i := range servers {
		servers[i] = kit.Start(t, kit.Options{
			Config: staff + limits + fmt.Sprintf("cache: {driver: redis, redis: {url: '%s', prefix: 'e2e-%s:', timeout: 2s}}\n", address, t.Name()),
			Env:    append(env, "AGENTAPI_IDENTITY__KEY_PEPPER=a-pepper-of-the-tests", "AGENTAPI_STORAGE__POSTGRES__TIMEOUT=10s"), // a slow machine is not a storage that is away
		})
	}
	return servers
}

// atOnce sends n requests of one caller's in turn to all servers, and counts those that
// are answered and those that are refused.
func atOnce(t *testing.T, servers []*kit.Server, n int, who, model string) (admitted, refused int64) {
	t.Helper()
	var yes, no atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			a, err := servers[i%len(servers)].Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask(model, "one two"), as(who)...)
			switch {
			case err != nil:
				t.Error(err)
			case a.Status == 200:
				yes.Add(1)
			case a.Status == 429:
				no.Add(1)
			default:
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	all.Wait()
	return yes.Load(), no.Load()
}

func TestALimitIsExactOnThreeServers(t *testing.T) {
	servers := limited(t, 3, redis.Shared(t), "limits: {user: {requests_per_minute: 60}}\n")
	began := time.Now()
	admitted, refused := atOnce(t, servers, 600, "victim", "demo/echo")
	took := int64(time.Since(began).Seconds())
	if admitted < 60 || admitted > 60+took+1 || admitted+refused != 600 {
		t.Errorf("%d of 600 are admitted within %d s, %d refused", admitted, took, refused)
	}
	t.Logf("%d admitted within %d s", admitted, took)
	servers[1].Chat(t, kit.Ask("demo/echo", "another user has limits of their own"), as("org_admin")...)
}

func TestCallersAreToldHowTheyStand(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + "limits: {user: {requests_per_minute: 3, tokens_per_minute: 1000}, organization: {requests_per_day: 1000, tokens_per_day: 100000}}\n"})
	for left := 2; left >= 0; left-- {
		body := kit.Ask("demo/echo", "one two")
		if left == 1 {
			body = kit.AskStream("demo/echo", "one two")
		}
		h := s.Chat(t, body, as("victim")...).Header
		tokens, err := strconv.Atoi(h.Get("X-Ratelimit-Remaining-Tokens"))
		if h.Get("X-Ratelimit-Limit-Requests") != "3" || h.Get("X-Ratelimit-Remaining-Requests") != strconv.Itoa(left) ||
			h.Get("X-Ratelimit-Limit-Tokens") != "1000" || err != nil || tokens < 900 || tokens >= 1000 {
			t.Errorf("with %d left: %v", left, h)
		}
		for _, name := range []string{"X-Ratelimit-Reset-Requests", "X-Ratelimit-Reset-Tokens"} {
			if d, err := time.ParseDuration(h.Get(name)); err != nil || d <= 0 || d > time.Minute {
				t.Errorf("%s: %q", name, h.Get(name))
			}
		}
	}
	refusal := func(status int, who, body, kind, code, says string) http.Header {
		t.Helper()
		a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", body, as(who)...)
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			Error struct{ Type, Code, Message, Param string }
		}
		if err := json.Unmarshal([]byte(a.Body), &out); err != nil || a.Status != status || out.Error.Type != kind || out.Error.Code != code || !strings.Contains(out.Error.Message, says) || out.Error.Param != "" {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		return a.Header
	}
	h := refusal(429, "victim", kit.AskStream("demo/echo", "x"), "requests", "rate_limit_exceeded", "requests per minute of the user")
	if h.Get("X-Ratelimit-Remaining-Requests") != "0" || h.Get("Retry-After") == "" || h.Get("X-Should-Retry") != "" {
		t.Errorf("refused: %v", h)
	}
	much := strings.Replace(kit.Ask("demo/echo", "x"), "{", `{"max_tokens":900,`, 1)
	s.Chat(t, much, as("org_admin")...)
	s.Chat(t, much, as("org_admin")...) // what the first did not use has come back
	refusal(400, "org_admin", strings.Replace(kit.Ask("demo/echo", "x"), "{", `{"max_tokens":1000,`, 1), "invalid_request_error", "tokens_exceed_limit", "tokens per minute of the user")
	s.Chat(t, kit.Ask("demo/echo", strings.Repeat("many words of which the answer has as many ", 50)), as("org_owner")...)
	h = refusal(429, "org_owner", strings.Replace(kit.Ask("demo/echo", "x"), "{", `{"max_tokens":600,`, 1), "tokens", "rate_limit_exceeded", "tokens per minute of the user")
	if h.Get("Retry-After") == "" {
		t.Errorf("refused: %v", h)
	}
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	servers := limited(t, 2, redis.Shared(t), "limits: {models: {demo/slow: {concurrent: 2}}}\n")
	open := func() func() {
		resp, err := servers[0].Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("demo/slow", strings.Repeat("word ", 400)), as("victim")...)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %v", resp, err)
		}
		return func() { resp.Body.Close() }
	}
	first, second := open(), open()
	defer second()
	a, err := servers[1].Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/slow", "x"), as("eve")...)
	if err != nil || a.Status != 429 || !strings.Contains(a.Body, `"concurrency_limit"`) {
		t.Fatalf("%v %d %s", err, a.Status, a.Body)
	}
	first()
	if !kit.Soon(3*time.Second, func() bool {
		a, err := servers[1].Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/slow", "x"), as("eve")...)
		return err == nil && a.Status == 200
	}) {
		t.Error("the place of a client that left is not free")
	}
}

// While Redis is away every request is served within this server's part of the limits;
// when it is back nothing needs a restart.
func TestLimitsHoldWhileRedisIsAway(t *testing.T) {
	shared := redis.New(t)
	servers := limited(t, 2, shared.URL, "limits: {instances: 2, user: {requests_per_minute: 60}}\n")
	for _, s := range servers {
		s.Chat(t, kit.Ask("demo/echo", "x"), as("eve")...)
	}
	shared.Kill()
	began := time.Now()
	for _, s := range servers { // nobody waits long for what is away
		s.Chat(t, kit.Ask("demo/echo", "x"), as("org_admin")...)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("two requests took %v", took)
	}
	admitted, refused := atOnce(t, servers, 200, "victim", "demo/echo")
	if admitted < 60 || admitted > 64 || admitted+refused != 200 {
		t.Errorf("%d of 200 are admitted, %d refused", admitted, refused)
	}
	if err := shared.Start(); err != nil {
		t.Fatal(err)
	}
	if !kit.Soon(5*time.Second, func() bool {
		admitted, _ := atOnce(t, servers[:1], 1, "victim", "demo/echo") // of the limit that is shared again
		return admitted == 1
	}) {
		t.Error("the shared limits have not come back")
	}
}
