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

// raceForKeys has clients send each of n requests to all servers at once, with one key,
// until both are answered, and wants the same answer from all.
func raceForKeys(t *testing.T, servers []*kit.Server, n int) (replayed int64) {
	t.Helper()
	var (
		h     = newHistory()
		again atomic.Int64
		next  atomic.Int64
		all   sync.WaitGroup
	)
	for range 16 {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				key := fmt.Sprintf("%s %d", t.Name(), i)
				bodies := make([]string, len(servers))
				var pair sync.WaitGroup
				for j, s := range servers {
					pair.Go(func() {
						for bodies[j] == "" && t.Context().Err() == nil {
							began := time.Now()
							a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", key), append(as("victim"), "Idempotency-Key", key)...)
							switch {
							case err == nil && a.Status == http.StatusConflict:
								wait(t.Context(), 10*time.Millisecond)
								continue
							case err != nil || a.Status != 200:
								t.Errorf("%s: %d %s, %v", key, a.Status, a.Body, err)
								return
							}
							bodies[j] = a.Body
							_, id, _ := complete(a.Body, false)
							was := a.Header.Get("Idempotent-Replayed") != ""
							if was {
								again.Add(1)
							}
							h.note(j, key, answered{id: id, replayed: was}, began)
						}
					})
				}
				pair.Wait()
				if bodies[0] != bodies[1] {
					t.Errorf("%s got two answers:\n%s\n%s", key, bodies[0], bodies[1])
				}
			}
		})
	}
	all.Wait()
	h.linearizable(t, keys)
	return again.Load()
}

func TestAKeyRunsOnceWhicheverServersItComesTo(t *testing.T) {
	servers := limited(t, 2, redis.Shared(t), "")
	n := kit.Size(100, 200, 10000)
	replayed := raceForKeys(t, servers, n)
	titles := map[string]bool{}
	for _, s := range listSessions(t, servers[0], as("victim")...) {
		if titles[s.Title] || s.Messages != 2 {
			t.Errorf("%s has run twice: %+v", s.Title, s)
		}
		titles[s.Title] = true
	}
	if len(titles) != n || replayed != int64(n) {
		t.Errorf("of %d keys %d have run, %d were replayed", n, len(titles), replayed)
	}
	t.Logf("RELIABILITY X1 %d keys on two servers at once: %d have run, %d were replayed; 0 ran twice", n, len(titles), replayed)
}

func TestTwoServersAppendToASessionOneAfterTheOther(t *testing.T) {
	servers := limited(t, 2, redis.Shared(t), "")
	const clients = 8
	turns := kit.Size(3, 10, 100)
	first := servers[0].Chat(t, kit.Ask("demo/echo", "begin"), as("victim")...)
	id := first.Header.Get("X-Agentapi-Session-Id")
	path := "/api/v1/sessions/" + id
	var (
		busy, stale atomic.Int64
		all         sync.WaitGroup
	)
	for c := range clients {
		s := servers[c%2]
		all.Go(func() {
			for n := 0; n < turns && t.Context().Err() == nil; {
				text := fmt.Sprintf("client %d turn %d", c, n)
				a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", text), append(as("victim"), "X-Session-Id", id, "Idempotency-Key", text)...)
				switch {
				case err == nil && a.Status == http.StatusConflict:
					busy.Add(1)
					wait(t.Context(), time.Duration(1+c)*time.Millisecond)
				case err != nil || a.Status != 200 || a.Header.Get("X-Agentapi-Session-Id") != id:
					t.Errorf("%s: %d %s, %v", text, a.Status, a.Body, err)
					return
				default:
					n++
				}
			}
		})
		all.Go(func() { // and one changes what is said of it, by what it was
			for n := 0; n < turns && t.Context().Err() == nil; {
				was, err := s.Do(t.Context(), http.MethodGet, path, "", as("victim")...)
				var is struct{ Metadata map[string]string }
				if err != nil || json.Unmarshal([]byte(was.Body), &is) != nil {
					t.Errorf("%v %s", err, was.Body)
					return
				}
				count, _ := strconv.Atoi(is.Metadata["count"]) // nothing at first
				body := fmt.Sprintf(`{"metadata":{"count":"%d"}}`, count+1)
				a, err := s.Do(t.Context(), http.MethodPatch, path, body, append(as("victim"), "If-Match", was.Header.Get("ETag"))...)
				switch {
				case err == nil && (a.Status == http.StatusPreconditionFailed || a.Status == http.StatusConflict):
					stale.Add(1)
					wait(t.Context(), time.Duration(1+c)*time.Millisecond)
				case err != nil || a.Status != 200:
					t.Errorf("%d %s, %v", a.Status, a.Body, err)
					return
				default:
					n++
				}
			}
		})
	}
	all.Wait()
	is := object(t, call(t, servers[1], 200, http.MethodGet, path, "", as("victim")...))
	if count := is["metadata"].(map[string]any)["count"]; count != strconv.Itoa(clients*turns) {
		t.Errorf("%v changes are left of %d", count, clients*turns)
	}
	seen := map[string]int{}
	last := map[int]int{}
	said := ""
	for i, m := range listMessages(t, servers[1], path, as("victim")...) {
		if i%2 == 1 {
			if m != said {
				t.Errorf("%q is the answer to %q", m, said)
			}
			continue
		}
		said = m
		seen[m]++
		var c, n int
		if _, err := fmt.Sscanf(m, "client %d turn %d", &c, &n); err == nil {
			if n != last[c] {
				t.Errorf("%q comes at %d", m, last[c])
			}
			last[c]++
		}
	}
	if len(seen) != clients*turns+1 {
		t.Errorf("%d turns are stored of %d", len(seen), clients*turns+1)
	}
	for text, n := range seen {
		if n != 1 {
			t.Errorf("%q is there %d times", text, n)
		}
	}
	t.Logf("RELIABILITY X2 %d turns and as many changes to one session on two servers, %d sent again since another was at it, %d since another was before: 0 lost, 0 doubled", clients*turns, busy.Load(), stale.Load())
}

// listMessages gives the texts of a session's messages, in order.
func listMessages(t *testing.T, s *kit.Server, path string, headers ...string) (all []string) {
	t.Helper()
	for after := ""; ; {
		var page struct {
			Data    []struct{ Content string }
			LastID  string `json:"last_id"`
			HasMore bool   `json:"has_more"`
		}
		a := call(t, s, 200, http.MethodGet, path+"/messages?limit=100"+after, "", headers...)
		if err := json.Unmarshal([]byte(a.Body), &page); err != nil {
			t.Fatalf("%s: %v", a.Body, err)
		}
		for _, m := range page.Data {
			all = append(all, m.Content)
		}
		if !page.HasMore {
			return all
		}
		after = "&after=" + page.LastID
	}
}

func TestAQuotaIsGrantedToTheLastUnitByTwoServers(t *testing.T) {
	most := kit.Size(100, 200, 1000)
	servers := limited(t, 2, redis.Shared(t), fmt.Sprintf("limits: {user: {requests_per_day: %d}}\n", most))
	var (
		h       = newHistory()
		granted atomic.Int64
		all     sync.WaitGroup
	)
	for c := range 2 * 64 {
		all.Go(func() {
			for more := true; more; {
				began := time.Now()
				a, err := servers[c%2].Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", "x"), as("victim")...)
				if err != nil || a.Status != 200 && a.Status != 429 {
					t.Errorf("%d %s, %v", a.Status, a.Body, err)
					return
				}
				if more = a.Status == 200; more {
					granted.Add(1)
				}
				h.note(c, nil, more, began)
			}
		})
	}
	all.Wait()
	back := int(time.Since(h.began).Seconds() * float64(most) / (24 * 60 * 60)) // units that have come back
	if n := int(granted.Load()); n < most || n > most+back {
		t.Errorf("%d of %d units are granted", n, most)
	}
	if back == 0 {
		h.linearizable(t, counter(most))
	}
	t.Logf("RELIABILITY X3 %d units for 2×64 clients on two servers: %d granted, %d requests", most, granted.Load(), len(h.all))
}

// A server that alone does not reach Redis keeps to its part of the limits; what has one
// truth in storage stays exact on all.
func TestAServerThatAloneIsCutOffFromRedisHolds(t *testing.T) {
	r := redis.New(t)
	network := postgres.Before(t, r.Addr)
	_, env := migrated(t, postgres.Shared(t))
	var servers []*kit.Server
	for _, addr := range []string{r.Addr, network.Addr} {
		servers = append(servers, kit.Start(t, kit.Options{
			Config: staff + "limits: {instances: 2, models: {scarce: {requests_per_minute: 60}}}\nagents: {demo: {driver: demo, models: [echo]}}\nrouting: {aliases: {scarce: [demo/echo]}}\n" +
				fmt.Sprintf("cache: {driver: redis, redis: {url: 'redis://%s'}}\n", addr),
			Env: append(env, "AGENTAPI_IDENTITY__KEY_PEPPER=a-pepper-of-the-tests"),
		}))
	}
	degraded := func() bool {
		a, err := servers[1].Do(t.Context(), http.MethodGet, "/readyz", "")
		return err == nil && strings.Contains(a.Body, "degraded")
	}
	network.Down()
	began := time.Now()
	admitted, refused := atOnce(t, servers, 300, "victim", "scarce")
	if most := 60 + 30 + int64(1.5*time.Since(began).Seconds()+2); admitted < 90 || admitted > most || admitted+refused != 300 {
		t.Errorf("%d are admitted, %d refused; want 90 to %d", admitted, refused, most)
	}
	keys := kit.Size(50, 100, 2000)
	replayed := raceForKeys(t, servers, keys)
	if replayed != int64(keys) || !degraded() {
		t.Errorf("%d of %d keys were replayed; degraded: %v", replayed, keys, degraded())
	}
	network.Mend()
	if !kit.Soon(10*time.Second, func() bool {
		atOnce(t, servers[1:], 1, "eve", "demo/echo")
		atOnce(t, servers[1:], 1, "eve", "scarce")
		return !degraded()
	}) {
		t.Fatal("it does not come back")
	}
	// A call that takes too long counts as an outage, for which there is a part: what it
	// took of Redis is lost where that part is spent, so a round in which that happened
	// says nothing of the limit's last unit.
	whole := kit.Soon(10*time.Second, func() bool {
		r.Do(t, "FLUSHALL")
		began := time.Now()
		n, _ := atOnce(t, servers, 300, "victim", "scarce")
		if n > 60+30+int64(time.Since(began).Seconds()+1) {
			t.Errorf("then %d are admitted", n)
		}
		return n >= 60
	})
	if !whole {
		t.Error("the whole limit is not granted again")
	}
	t.Logf("RELIABILITY X4 one of two servers without Redis: %d admitted of a limit of 60, each key of %d ran once", admitted, keys)
}
