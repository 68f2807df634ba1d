package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
	"agentapi/test/redis"
)

// shelf is a row of the table of what lies in Redis.
type shelf struct {
	pattern string
	lasts   time.Duration
	seen    int
}

// shelves reads the table.
func shelves(t *testing.T) (out []*shelf) {
	t.Helper()
	text, err := os.ReadFile("../../configs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "| keys | whose |")
	table, _, _ := strings.Cut(rest, "\n\n")
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|[^|]*\\|[^|]*\\| ([0-9]+[smh])").FindAllStringSubmatch(table, -1) {
		lasts, err := time.ParseDuration(row[2])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, &shelf{pattern: row[1], lasts: lasts})
	}
	if len(out) == 0 {
		t.Fatal("there is no table of what lies in Redis")
	}
	return out
}

func TestWhatLiesInRedisIsWhatIsSaid(t *testing.T) {
	r := redis.New(t)
	issuer := kit.NewIssuer(t)
	u := kit.NewUpstream(t, "ok")
	_, env := migrated(t, postgres.Shared(t))
	s := kit.Start(t, kit.Options{Config: fmt.Sprintf(`identity: {chain: [oidc]}
compat: {dedupe_sdk_retries: true}
limits: {platform: {requests_per_day: 1000}, organization: {tokens_per_minute: 100000}, user: {requests_per_minute: 100, concurrent: 9}, models: {demo/slow: {concurrent: 9}}}
agents: {demo: {driver: demo}, up: {driver: openai, openai: {base_url: %q}}}
`, u.URL), Env: append(env, "REDIS_URL="+r.URL, "OIDC_ISSUER="+issuer.URL, "AGENTAPI_IDENTITY__KEY_PEPPER=a-pepper-of-the-tests")})
	const secret = "nobody-else-may-read-this"
	me := []string{"Authorization", "Bearer " + issuer.Token(t, nil)}
	s.Chat(t, kit.Ask("demo/echo", "hello"), append(me, "X-Stainless-Retry-Count", "0")...)
	if a, err := s.Do(t.Context(), http.MethodGet, "/v1/models", "", me...); err != nil || a.Status != 200 {
		t.Fatalf("%v, %v", a, err)
	}
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("demo/slow", strings.Repeat(secret+" ", 400)), append(me, "Idempotency-Key", "k")...)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	defer resp.Body.Close()
	all := shelves(t)
	left := func() (names []string) {
		for _, s := range all {
			if s.seen == 0 {
				names = append(names, s.pattern)
			}
		}
		return names
	}
	kit.Soon(10*time.Second, func() bool {
		for key := range strings.FieldsSeq(r.Do(t, "EVAL", "return table.concat(redis.call('KEYS', '*'), ' ')", "0")) {
			ttl, _ := strconv.ParseInt(r.Do(t, "EVAL", "return tostring(redis.call('PTTL', KEYS[1]))", "1", key), 10, 64)
			lasts, known := time.Duration(ttl)*time.Millisecond, false
			for _, s := range all {
				if prefix, any := strings.CutSuffix("agentapi:"+s.pattern, "*"); key == prefix || any && strings.HasPrefix(key, prefix) {
					known = true
					s.seen++
					if lasts > s.lasts {
						t.Errorf("%s lasts %v, and %v is said", key, lasts, s.lasts)
					}
				}
			}
			if ttl == -1 || !known {
				t.Errorf("%s lies there for %v", key, lasts)
			}
			if strings.Contains(r.Do(t, "DUMP", key), secret) {
				t.Errorf("%s can be read", key)
			}
		}
		return len(left()) == 0
	})
	if names := left(); len(names) > 0 {
		t.Errorf("these were not seen: %v", names)
	}
}

// Whatever Redis does, chats are served within 2 s, limits hold, and nothing needs a
// restart once it is well.
func TestNothingThatRedisDoesIsSeenByClients(t *testing.T) {
	for name, c := range map[string]struct {
		ill, well func(t *testing.T, r *redis.Server)
	}{
		"it forgets all": {func(t *testing.T, r *redis.Server) { r.Do(t, "FLUSHALL") }, nil},
		"its memory is full": {
			func(t *testing.T, r *redis.Server) { r.Do(t, "CONFIG", "SET", "maxmemory", "1") },
			func(t *testing.T, r *redis.Server) { r.Do(t, "CONFIG", "SET", "maxmemory", "0") },
		},
		"its values are others": {
			func(t *testing.T, r *redis.Server) {
				r.Do(t, "EVAL", "for _, k in ipairs(redis.call('KEYS', '*')) do redis.call('DEL', k) redis.call('HSET', k, 'a', 'b') end", "0")
			}, nil,
		},
		"it takes no writes": {
			func(t *testing.T, r *redis.Server) { r.Do(t, "REPLICAOF", "127.0.0.1", "1") },
			func(t *testing.T, r *redis.Server) { r.Do(t, "REPLICAOF", "NO", "ONE") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := redis.New(t)
			s := kit.Start(t, kit.Options{Config: staff + "storage: {driver: memory}\nlimits: {instances: 2, user: {requests_per_minute: 60}}\ncompat: {dedupe_sdk_retries: true}\n", Env: []string{"REDIS_URL=" + r.URL}})
			served := func(when string) {
				t.Helper()
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() {
						began := time.Now()
						a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", "hello"), append(as("org_admin"), "X-Stainless-Retry-Count", "0")...)
						if took := time.Since(began); err != nil || a.Status != 200 || took > promptly {
							t.Errorf("%s: %d %s after %v, %v", when, a.Status, a.Body, took, err)
						}
					})
				}
				all.Wait()
			}
			served("while it is well")
			c.ill(t, r)
			served("while it is ill")
			began := time.Now()
			admitted, refused := atOnce(t, []*kit.Server{s}, 300, "victim", "demo/echo")
			// A limit's whole, where Redis forgets it in the midst once more.
			if most := 2*60 + int64(time.Since(began).Seconds()) + 1; admitted < 30 || admitted > most || admitted+refused != 300 {
				t.Errorf("%d of 300 are admitted, %d refused", admitted, refused)
			}
			if c.well != nil {
				c.well(t, r)
			}
			if !kit.Soon(10*time.Second, func() bool {
				a, err := s.Do(t.Context(), http.MethodGet, "/readyz", "")
				_, _ = s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", "hello"), as("eve")...)
				return err == nil && a.Status == 200 && !strings.Contains(a.Body, "degraded") &&
					strings.Contains(r.Do(t, "EVAL", "return table.concat(redis.call('KEYS', '*rate*'), ' ')", "0"), "rate:")
			}) {
				t.Error("the shared limits have not come back")
			}
		})
	}
}
