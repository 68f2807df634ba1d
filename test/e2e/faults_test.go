package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
	"agentapi/test/redis"
)

// cluster is servers on a database and a Redis of their own, behind a balancer, with
// an agent that fails at will.
type cluster struct {
	t        *testing.T
	began    time.Time
	options  []kit.Options
	servers  []*kit.Server // each is its own goroutine's while there are faults
	front    *kit.Server
	database *postgres.Database
	network  *postgres.Proxy // before the database
	redis    *redis.Server
	upstream *kit.Upstream
	faults   struct {
		sync.Mutex
		n map[string]int
	}
}

func newCluster(t *testing.T, n int, config string) *cluster {
	t.Helper()
	server := postgres.New(t)
	c := &cluster{t: t, began: time.Now(), redis: redis.New(t), upstream: kit.NewUpstream(t, "ok"), network: postgres.Before(t, server.Addr)}
	c.faults.n = map[string]int{}
	c.database, _ = migrated(t, server)
	for range n {
		o := kit.Options{
			Dir: t.TempDir(), Port: kit.FreePort(t),
			Config: staff + config + fmt.Sprintf(`cache: {driver: redis, redis: {url: %q}}
agents:
  up: {driver: openai, models: [mock-1], limits: {first_event: 1s, idle: 1s}, openai: {base_url: %q}}
  demo: {driver: demo, models: [echo]}
routing: {aliases: {team: [up/mock-1, demo/echo]}}
`, c.redis.URL, c.upstream.URL),
			Env: []string{
				"DATABASE_URL=" + c.database.At(c.database.App, c.network.Addr),
				"AGENTAPI_STORAGE__POSTGRES__LEASE=3s", "AGENTAPI_IDENTITY__KEY_PEPPER=a-pepper-of-the-tests",
			},
		}
		c.options = append(c.options, o)
		c.servers = append(c.servers, kit.Start(t, o))
	}
	c.front = kit.Balance(t, c.servers...)
	return c
}

// mishap is one thing that goes wrong, with what ends it.
type mishap struct {
	name  string
	least time.Duration // how long it lasts, to twice as long and a half
	begin func()
	end   func()
}

// torment has each part of a cluster fail again and again, independently of the
// others, until ctx ends; then all is well.
func (c *cluster) torment(ctx context.Context, seed uint64) {
	var all sync.WaitGroup
	suffer := func(n uint64, part string, pause time.Duration, faults ...mishap) {
		random := rand.New(rand.NewPCG(seed, n))
		span := func(least time.Duration) time.Duration {
			return least + time.Duration(random.Int64N(int64(least)*3/2))
		}
		all.Go(func() {
			for wait(ctx, span(pause)) {
				f := faults[random.IntN(len(faults))]
				lasts := span(f.least)
				c.t.Logf("%8.3f s: %s %s for %v", time.Since(c.began).Seconds(), part, f.name, lasts)
				c.faults.Lock()
				c.faults.n[part+" "+f.name]++
				c.faults.Unlock()
				f.begin()
				wait(ctx, lasts)
				f.end()
			}
		})
	}
	for i := range c.servers {
		kill := mishap{"is killed", 100 * time.Millisecond, func() { c.servers[i].Kill() }, func() { c.relaunch(i) }}
		suffer(uint64(i), fmt.Sprint("server ", i), 2*time.Second, kill, kill,
			// Twice the lease of what it has claimed, or less than that.
			mishap{"stands still", 2 * time.Second, func() { c.servers[i].Signal(syscall.SIGSTOP) }, func() { c.servers[i].Signal(syscall.SIGCONT) }},
		)
	}
	suffer(100, "Redis", 3*time.Second,
		mishap{"is killed", 500 * time.Millisecond, c.redis.Kill, func() { c.must(c.redis.Start()) }},
		mishap{"stands still", time.Second, func() { c.redis.Signal(syscall.SIGSTOP) }, func() { c.redis.Signal(syscall.SIGCONT) }},
	)
	toxic := func(name, kind string, attributes map[string]any) mishap {
		return mishap{name, 500 * time.Millisecond, func() { c.network.Toxic(kind, "downstream", attributes) }, c.network.Mend}
	}
	suffer(200, "Postgres", 3*time.Second,
		mishap{"is out of reach", 300 * time.Millisecond, c.network.Down, c.network.Mend},
		mishap{"is killed", 100 * time.Millisecond, c.database.Server.Kill, func() { c.must(c.database.Server.Start()) }},
		toxic("is not heard", "timeout", map[string]any{"timeout": 0}),
		toxic("is cut off", "reset_peer", map[string]any{"timeout": 0}),
		toxic("is slow", "latency", map[string]any{"latency": 200, "jitter": 100}),
	)
	var agent []mishap
	for _, mode := range []string{"500", "429", "cut", "hang", "half", "nofinish"} {
		agent = append(agent, mishap{mode, 500 * time.Millisecond, func() { c.upstream.Become(mode) }, func() { c.upstream.Become("ok") }})
	}
	suffer(300, "the agent:", time.Second, agent...)
	all.Wait()
}

func (c *cluster) must(err error) {
	if err != nil {
		c.t.Error(err)
	}
}

// relaunch starts a server again, as often as it takes where what it needs is away, too.
func (c *cluster) relaunch(i int) {
	for until := time.Now().Add(time.Minute); ; {
		s, err := kit.Launch(c.t, c.options[i])
		c.servers[i] = s
		if err == nil {
			return
		}
		s.Kill()
		if time.Now().After(until) {
			c.t.Error(err)
			return
		}
	}
}

// wait tells whether a time has passed before ctx ends.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
