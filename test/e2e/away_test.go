package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
	"agentapi/test/redis"
)

// cut is a Redis and a network before it.
type cut struct {
	*redis.Server
	net *postgres.Proxy
}

// ways are those in which a Redis is of no use, each with how it begins and ends.
var ways = map[string]struct {
	args       []string
	away, back func(*testing.T, cut)
	quiet      bool // what the servers need of it may work all the same
}{
	"killed": {
		away: func(_ *testing.T, c cut) { c.Kill() },
		back: func(t *testing.T, c cut) {
			if err := c.Start(); err != nil {
				t.Error(err)
			}
		},
	},
	"killed, which knows no CLIENT": { // as a hosted one
		args: []string{"--rename-command", "CLIENT", "", "--rename-command", "CLUSTER", ""},
		away: func(_ *testing.T, c cut) { c.Kill() },
		back: func(t *testing.T, c cut) {
			if err := c.Start(); err != nil {
				t.Error(err)
			}
		},
	},
	"hung": {
		away: func(_ *testing.T, c cut) { c.Signal(syscall.SIGSTOP) },
		back: func(_ *testing.T, c cut) { c.Signal(syscall.SIGCONT) },
	},
	"refused": {
		away: func(_ *testing.T, c cut) { c.net.Down() },
		back: func(_ *testing.T, c cut) { c.net.Mend() },
	},
	"not heard": {
		away: func(_ *testing.T, c cut) { c.net.Toxic("timeout", "downstream", map[string]any{"timeout": 0}) },
		back: func(_ *testing.T, c cut) { c.net.Mend() },
	},
	"two seconds slow": {
		away: func(_ *testing.T, c cut) { c.net.Toxic("latency", "downstream", map[string]any{"latency": 2000}) },
		back: func(_ *testing.T, c cut) { c.net.Mend() },
	},
	"full": {
		away:  func(t *testing.T, c cut) { c.Do(t, "CONFIG", "SET", "maxmemory", "1") },
		back:  func(t *testing.T, c cut) { c.Do(t, "CONFIG", "SET", "maxmemory", "0") },
		quiet: true,
	},
	"read-only": {
		away: func(t *testing.T, c cut) { c.Do(t, "REPLICAOF", "127.0.0.1", "1") },
		back: func(t *testing.T, c cut) { c.Do(t, "REPLICAOF", "NO", "ONE") },
	},
	"emptied": {
		away:  func(t *testing.T, c cut) { c.Do(t, "FLUSHALL") },
		back:  func(*testing.T, cut) {},
		quiet: true,
	},
}

// While Redis is of no use, whichever way, every request is served, soon, and those that
// a limit holds for within this server's part of it; when it is back, nothing needs a
// restart.
func TestEveryRequestIsServedWhileRedisIsOfNoUse(t *testing.T) {
	away := time.Duration(kit.Size(2, 2, 60)) * time.Second
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := redis.New(t, redis.Args(way.args...))
			c := cut{r, postgres.Before(t, r.Addr)}
			const perMinute = 60
			servers := make([]*kit.Server, 2)
			for i := range servers {
				servers[i] = kit.Start(t, kit.Options{Config: staff + "storage: {driver: memory}\n" +
					fmt.Sprintf("limits: {instances: 2, user: {requests_per_minute: 1000000, concurrent: 1000}, models: {scarce: {requests_per_minute: %d}}}\n", perMinute) +
					"agents: {demo: {driver: demo, models: [echo]}}\nrouting: {aliases: {scarce: [demo/echo]}}\n" +
					fmt.Sprintf("cache: {driver: redis, redis: {url: 'redis://%s', prefix: 'away:'}}\n", c.net.Addr)})
			}
			ask := func(s *kit.Server, who, model string) (int, time.Duration) {
				began := time.Now()
				a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask(model, "hello"), as(who)...)
				if err != nil || a.Status != 200 && (a.Status != 429 || model != "scarce") {
					t.Errorf("%s for %s: %d %s, %v", model, who, a.Status, a.Body, err)
				}
				return a.Status, time.Since(began)
			}
			degraded := func(s *kit.Server) bool {
				a, err := s.Do(t.Context(), http.MethodGet, "/readyz", "")
				return err != nil || a.Status != 200 || strings.Contains(a.Body, "degraded")
			}
			for _, s := range servers {
				ask(s, "eve", "echo") // the servers know Redis
			}
			way.away(t, c)
			var (
				all                       sync.WaitGroup
				served, admitted, refused atomic.Int64
				longest                   atomic.Int64
				began                     = time.Now()
			)
			for i := range 8 {
				all.Go(func() {
					for n := i; time.Since(began) < away; n++ {
						who, model := "eve", "echo"
						if i%2 == 0 {
							who, model = "victim", "scarce"
						}
						status, took := ask(servers[n%2], who, model)
						for was := longest.Load(); int64(took) > was && !longest.CompareAndSwap(was, int64(took)); was = longest.Load() {
						}
						switch {
						case model == "echo":
							served.Add(1)
						case status == 200:
							admitted.Add(1)
						default:
							refused.Add(1)
						}
						time.Sleep(20 * time.Millisecond) // a load that leaves the other tests room
					}
				})
			}
			all.Wait()
			took := time.Since(began).Seconds()
			if d := time.Duration(longest.Load()); d > promptly {
				t.Errorf("a request took %v", d)
			}
			// What the shared limit gave until Redis was gone is all of it at most, and so are the parts.
			if most := int64(2*perMinute + took + 2); admitted.Load() > most || admitted.Load() < perMinute || refused.Load() == 0 {
				t.Errorf("%d are admitted in %.0f s, %d refused; want %d to %d", admitted.Load(), took, refused.Load(), perMinute, most)
			}
			for _, s := range servers {
				if !way.quiet && !degraded(s) {
					t.Error("readiness does not say degraded")
				}
			}
			way.back(t, c)
			for _, s := range servers {
				if !kit.Soon(10*time.Second, func() bool { ask(s, "eve", "echo"); return !degraded(s) }) {
					t.Error("it does not come back")
				}
			}
			r.Do(t, "FLUSHALL")
			for _, s := range servers {
				ask(s, "victim", "scarce")
			}
			if r.Do(t, "DBSIZE") == "0" {
				t.Error("the limits are not shared again")
			}
			t.Logf("RELIABILITY R4 Redis %s for %.0f s: %d served, %d admitted and %d refused by a limit of %d a minute, the longest wait %v; 0 failed",
				name, took, served.Load(), admitted.Load(), refused.Load(), perMinute, time.Duration(longest.Load()).Round(time.Millisecond))
		})
	}
}
