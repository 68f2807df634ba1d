package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/redis"
)

// caller asks every server again and again whether they may.
type caller struct {
	last    []atomic.Int64 // when the last request that was let in was sent, by server
	refused []atomic.Int64 // how many were not
	wrong   atomic.Pointer[string]
}

// watch has somebody call all servers, every so often, until the test or stop ends it;
// code is what a refusal says.
func watch(t *testing.T, servers []*kit.Server, every time.Duration, path, code string, headers []string) (c *caller, stop func()) {
	t.Helper()
	c = &caller{last: make([]atomic.Int64, len(servers)), refused: make([]atomic.Int64, len(servers))}
	end := make(chan struct{})
	var all sync.WaitGroup
	for i, s := range servers {
		all.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				sent := time.Now()
				a, err := s.Do(t.Context(), http.MethodGet, path, "", headers...)
				switch {
				case err != nil || a.Status != 200 && !strings.Contains(a.Body, code):
					said := fmt.Sprintf("%d %s, %v", a.Status, a.Body, err)
					c.wrong.CompareAndSwap(nil, &said)
				case a.Status == 200:
					c.last[i].Store(sent.UnixNano())
				default:
					c.refused[i].Add(1)
				}
				select {
				case <-end:
					return
				case <-tick.C:
				}
			}
		})
	}
	var once sync.Once
	stop = func() {
		once.Do(func() { close(end) })
		all.Wait()
	}
	t.Cleanup(stop)
	if !kit.Soon(10*time.Second, func() bool {
		for i := range servers {
			if c.last[i].Load() == 0 {
				return false
			}
		}
		return true
	}) {
		t.Fatalf("they are not let in by all servers at first: %v", c.wrong.Load())
	}
	return c, stop
}

// lag is how long after a moment the last request was sent that was let in.
func (c *caller) lag(server int, since time.Time) time.Duration {
	return time.Unix(0, c.last[server].Load()).Sub(since)
}

// streaming opens a stream on every server that says something and then nothing; ended
// gives when each has ended, and what it had said by then.
func streaming(t *testing.T, servers []*kit.Server, headers []string) (ended func(within time.Duration) ([]time.Time, []string)) {
	t.Helper()
	at, said := make([]time.Time, len(servers)), make([]string, len(servers))
	over := make(chan int, len(servers))
	for i, s := range servers {
		resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("up/mock-1", "hello"), headers...)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		go func() {
			text, err := io.ReadAll(resp.Body)
			if at[i], said[i] = time.Now(), string(text); err != nil {
				said[i] += err.Error()
			}
			over <- i
		}()
	}
	return func(within time.Duration) ([]time.Time, []string) {
		late := time.After(within)
		for range servers {
			select {
			case <-over:
			case <-late:
				return nil, nil
			}
		}
		return at, said
	}
}

// eviction is a way to shut somebody out, and back in.
type eviction struct {
	who  []string // who is shut out
	path string   // that they call
	code string   // of the refusal
	out  func(s *kit.Server)
	back func(s *kit.Server)
	runs bool // what they have running ends
}

// evictions are the ways in which somebody's right to call can end.
func evictions(t *testing.T, s *kit.Server) map[string]eviction {
	t.Helper()
	of := func(who string) (user, org string) {
		me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", as(who)...))
		return fmt.Sprint(me["user_id"]), fmt.Sprint(me["org_id"])
	}
	victim, acme := of("victim")
	member, _ := of("org_member")
	admin, _ := of("org_admin")
	_, evil := of("eve")
	patch := func(who, path, body string) func(*kit.Server) {
		return func(s *kit.Server) { call(t, s, 200, http.MethodPatch, path, body, as(who)...) }
	}
	status := func(who, path string, e eviction) eviction {
		e.path, e.runs = "/v1/models", true
		e.out, e.back = patch(who, path, `{"status":"suspended"}`), patch(who, path, `{"status":"active"}`)
		return e
	}
	key := func(owner string) (id string, headers []string) {
		k, text := newKey(t, s, owner, "/api/v1/me/api-keys", `{"name":"a key"}`)
		return fmt.Sprint(k["id"]), []string{"Authorization", "Bearer " + text}
	}
	revoked, byRevoked := key("victim")
	rotated, byRotated := key("victim")
	bound, byBound := key("victim")
	auditor, _ := of("org_auditor")
	_, byAuditor := key("org_auditor")
	_, text := newKey(t, s, "org_owner", "/api/v1/orgs/"+acme+"/api-keys", `{"name":"directory","service":"directory","scim":true}`)
	d := &directory{s, t, text, acme}
	if id := d.send(201, http.MethodPost, "/Users", `{"userName":"org_member","externalId":"org_member"}`)["id"]; id != member {
		t.Fatalf("who is provisioned is %v, not %v", id, member)
	}
	scim := func(active string) func(*kit.Server) {
		return func(s *kit.Server) {
			on := *d
			on.Server = s
			on.patch(200, "/Users/"+member, `{"op":"replace","path":"active","value":`+active+`}`)
		}
	}
	models := func(who []string, code string, out func(*kit.Server)) eviction {
		return eviction{who, "/v1/models", code, out, nil, true}
	}
	return map[string]eviction{
		"a user is suspended by the platform": status("platform_admin", "/api/v1/platform/users/"+victim, eviction{who: as("victim"), code: "account_suspended"}),
		"a member is suspended":               status("org_admin", "/api/v1/orgs/"+acme+"/members/"+victim, eviction{who: as("victim"), code: "account_suspended"}),
		"an organisation is suspended":        status("platform_admin", "/api/v1/orgs/"+evil, eviction{who: as("eve"), code: "org_suspended"}),
		"a provider suspends somebody":        {as("org_member"), "/v1/models", "account_suspended", scim("false"), scim("true"), true},
		"a key is revoked": models(byRevoked, "invalid_api_key", func(s *kit.Server) {
			call(t, s, 200, http.MethodDelete, "/api/v1/me/api-keys/"+revoked, "", as("victim")...)
		}),
		"a key is replaced": models(byRotated, "invalid_api_key", func(s *kit.Server) {
			call(t, s, 201, http.MethodPost, "/api/v1/me/api-keys/"+rotated+"/rotate", `{"grace_seconds":0}`, as("victim")...)
		}),
		"a member is removed with all keys": models(byAuditor, "invalid_api_key", func(s *kit.Server) {
			call(t, s, 200, http.MethodDelete, "/api/v1/orgs/"+acme+"/members/"+auditor, "", as("org_admin")...)
		}),
		"a key is bound to a network": {byBound, "/v1/models", "insufficient_permissions", patch("victim", "/api/v1/me/api-keys/"+bound, `{"networks":["10.0.0.0/8"]}`), nil, false},
		"a role is taken away": {
			as("org_admin"), "/api/v1/orgs/" + acme + "/members", "insufficient_permissions",
			patch("platform_admin", "/api/v1/orgs/"+acme+"/members/"+admin, `{"role":"org_member"}`),
			patch("platform_admin", "/api/v1/orgs/"+acme+"/members/"+admin, `{"role":null}`), false,
		},
	}
}

// evict shuts somebody out on one of the servers, and wants them to be out there at once,
// everywhere within the bound, and nobody else anywhere. It gives how long it took until
// nobody let them in, and until all that they had running had ended.
func (e eviction) evict(t *testing.T, servers []*kit.Server, at int, within time.Duration) (calls, streams time.Duration) {
	t.Helper()
	victim, stop := watch(t, servers, within/100, e.path, e.code, e.who)
	defer stop()
	other := as("victim")
	if e.who[1] == other[1] {
		other = as("eve")
	}
	bystander, leave := watch(t, servers, within/100, "/v1/models", "nobody refuses them", other)
	defer leave()
	ended, others := streaming(t, servers, e.who), streaming(t, servers[:1], other)
	e.out(servers[at])
	done := time.Now()
	if !kit.Soon(within+time.Second, func() bool {
		for i := range servers {
			if victim.refused[i].Load() == 0 {
				return false
			}
		}
		return time.Since(done) > time.Second // whoever was refused once stays so
	}) {
		t.Error("they are let in when the time is up")
	}
	stop()
	for i := range servers {
		if lag := victim.lag(i, done); lag > within || i == at && lag > 0 {
			t.Errorf("server %d of %d has let them in %v after server %d had shut them out", i, len(servers), lag, at)
		} else {
			calls = max(calls, lag)
		}
	}
	if said := victim.wrong.Load(); said != nil {
		t.Errorf("they got %s", *said)
	}
	if e.runs {
		when, said := ended(within + 2*time.Second)
		if when == nil {
			t.Fatal("a stream of theirs goes on")
		}
		for i := range servers {
			streams = max(streams, when[i].Sub(done))
			if !strings.Contains(said[i], `"code":"`+e.code+`"`) || strings.Contains(said[i], "[DONE]") {
				t.Errorf("a stream ended with %s", said[i])
			}
		}
	}
	if when, _ := others(10 * time.Millisecond); when != nil {
		t.Error("another's stream has ended")
	}
	leave()
	if said := bystander.wrong.Load(); said != nil {
		t.Errorf("somebody else got %s", *said)
	}
	if e.back == nil {
		return calls, streams
	}
	e.back(servers[at])
	for i, s := range servers {
		if !kit.Soon(within+time.Second, func() bool {
			a, err := s.Do(t.Context(), http.MethodGet, e.path, "", e.who...)
			return err == nil && a.Status == 200
		}) {
			t.Errorf("server %d does not let them back in", i)
		}
	}
	return calls, streams
}

func TestWhoIsShutOutIsOutOnAllServersWithinASecond(t *testing.T) {
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var calls, streams time.Duration
			round := 0
			for range kit.Size(1, 1, 20) {
				servers := limited(t, n, redis.Shared(t), upstreamOf(t))
				for name, e := range evictions(t, servers[0]) {
					c, s := e.evict(t, servers, round%n, time.Second)
					if round++; t.Failed() {
						t.Fatalf("when %s", name)
					}
					calls, streams = max(calls, c), max(streams, s)
				}
			}
			t.Logf("%d times, on %d servers: let in for %v at most, running for %v", round, n, calls, streams)
		})
	}
}

// While the servers cannot tell each other, each looks for itself.
func TestWhoIsShutOutIsOutOnAllServersWithinHalfAMinuteWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	shared := redis.New(t)
	servers := limited(t, 2, shared.URL, upstreamOf(t))
	all := evictions(t, servers[0])
	shared.Kill()
	for _, name := range []string{"an organisation is suspended", "a provider suspends somebody", "a key is revoked"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls, streams := all[name].evict(t, servers, 0, 30*time.Second)
			t.Logf("let in for %v, running for %v", calls, streams)
		})
	}
}

// upstreamOf is an agent that says something and then nothing.
func upstreamOf(t *testing.T) string {
	return fmt.Sprintf("agents: {up: {driver: openai, models: [mock-1], openai: {base_url: %q}}, demo: {driver: demo, models: [echo]}}\n", kit.NewUpstream(t, "half").URL)
}
