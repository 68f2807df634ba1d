package redis

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/quota"
	"agentapi/ports"
	"agentapi/ports/porttest"
	server "agentapi/test/redis"
)

func TestAnAddressThatMakesNoSenseIsRefusedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"none":                        {},
		"another scheme":              {URL: "http://user:s3cret@localhost"},
		"no port number":              {URL: "redis://user:s3cret@localhost:port"},
		"no database number":          {URL: "redis://user:s3cret@localhost:6379/first"},
		"two databases":               {URL: "redis://localhost", RESTURL: "https://name.upstash.io", RESTToken: "s3cret"},
		"Upstash without its token":   {RESTURL: "https://name.upstash.io"},
		"Upstash without TLS":         {RESTURL: "http://name.upstash.io", RESTToken: "s3cret"},
		"longer than a request waits": {URL: "redis://localhost", Timeout: time.Minute},
		"a prefix that picks a node":  {URL: "redis://localhost", Prefix: "{a}"},
	} {
		if o.Timeout == 0 {
			o.Timeout = time.Second
		}
		if err := o.Validate(); !fault.Is(err, fault.Invalid) || strings.Contains(fmt.Sprint(err), "s3cret") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestUpstashsAddressAndTokenLeadToItsDatabase(t *testing.T) {
	t.Parallel()
	o := Options{RESTURL: "https://eu1-name-123.upstash.io", RESTToken: "t/k n", Timeout: time.Second}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := o.client()
	if err != nil || c.InitAddress[0] != "eu1-name-123.upstash.io:6379" || c.TLSConfig == nil || c.TLSConfig.ServerName != "eu1-name-123.upstash.io" || c.Username != "default" || c.Password != "t/k n" {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestServersOfOtherKindsKeepTheContractToo(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]struct {
		args    []string
		ready   func(t *testing.T, s *server.Server)
		address func(s *server.Server) string
	}{
		"without CLIENT":              {args: []string{"--rename-command", "CLIENT", ""}},
		"without CLUSTER and CLIENT":  {args: []string{"--rename-command", "CLUSTER", "", "--rename-command", "CLIENT", ""}},
		"with the older protocol":     {args: []string{"--rename-command", "HELLO", ""}, address: func(s *server.Server) string { return s.URL + "?protocol=2" }},
		"with a password":             {args: []string{"--requirepass", "p@ss/word"}, address: func(s *server.Server) string { return "redis://:p%40ss%2Fword@" + s.Addr }},
		"a cluster":                   {args: []string{"--cluster-enabled", "yes"}, ready: asCluster},
		"with another database":       {address: func(s *server.Server) string { return s.URL + "/3" }},
		"that may take little memory": {args: []string{"--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lru"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := server.New(t, server.Args(s.args...))
			if s.ready != nil {
				s.ready(t, r)
			}
			address := r.URL
			if s.address != nil {
				address = s.address(r)
			}
			porttest.Cache(t, func(t *testing.T) ports.Cache { return Cache{connect(t, address)} }, asItPasses)
			limiterSuite(t, address)
			bulletinSuite(t, address)
		})
	}
}

// asCluster makes a server a cluster of one.
func asCluster(t *testing.T, s *server.Server) {
	s.Do(t, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	for until := time.Now().Add(10 * time.Second); !strings.Contains(s.Do(t, "CLUSTER", "INFO"), "cluster_state:ok"); {
		if time.Now().After(until) {
			t.Fatal("the cluster does not come up")
		}
	}
}

// unavailable checks that a call fails as it should, and soon.
func unavailable(t *testing.T, within time.Duration, call func() error) {
	t.Helper()
	start := time.Now()
	if err := call(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want that it is away", err)
	}
	if took := time.Since(start); took > within {
		t.Errorf("that took %v, more than %v", took, within)
	}
}

func eventually(t *testing.T, call func() error) {
	t.Helper()
	var err error
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
		if err = call(); err == nil {
			return
		}
	}
	t.Fatalf("it does not come back: %v", err)
}

func TestARedisThatGoesAndComesIsNoticedWithoutARestart(t *testing.T) {
	t.Parallel()
	s := server.New(t)
	c := connect(t, s.URL)
	c.timeout = 300 * time.Millisecond
	cache, limiter := Cache{c}, NewLimiter(c)
	claim := quota.Claim{ID: "1", Rates: []quota.Charge{{Key: "a", Rate: quota.Rate{Limit: 1000, Per: time.Minute}, N: 1}}}
	calls := map[string]func() error{
		"Set":    func() error { return cache.Set(t.Context(), "a", []byte("1"), time.Minute) },
		"Get":    func() error { _, _, err := cache.Get(t.Context(), "a"); return err },
		"Add":    func() error { _, err := cache.Add(t.Context(), "a", nil, time.Minute); return err },
		"Swap":   func() error { _, err := cache.Swap(t.Context(), "a", nil, nil, time.Minute); return err },
		"Delete": func() error { return cache.Delete(t.Context(), "b") },
		"Take":   func() error { _, err := limiter.Take(t.Context(), claim); return err },
		"Settle": func() error { return limiter.Settle(t.Context(), claim, 1) },
		"Renew":  func() error { return limiter.Renew(t.Context(), claim) },
		"Probe":  func() error { return c.Probe(t.Context()) },
	}
	claim.Places = []quota.Places{{Key: "p", Most: 1000}}
	for _, fails := range []struct {
		go_, come func()
	}{
		{s.Kill, func() {
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
		}},
		{func() { s.Signal(syscall.SIGSTOP) }, func() { s.Signal(syscall.SIGCONT) }}, // it takes connections and says nothing
	} {
		for _, call := range calls { // one may meet a connection that the last outage has cut
			eventually(t, call)
		}
		fails.go_()
		for range failures {
			unavailable(t, 2*dialTimeout, calls["Set"])
		}
		for range 100 { // it is let alone
			for _, call := range calls {
				unavailable(t, 2*dialTimeout, call)
			}
		}
		fails.come()
		eventually(t, calls["Set"])
	}
}

func TestWhatIsNoSumIsAsGoodAsNothing(t *testing.T) {
	t.Parallel()
	s := server.New(t)
	c := connect(t, s.URL)
	c.prefix = "x:"
	for _, key := range []string{"clock", "rate:a"} {
		s.Do(t, "LPUSH", "x:{limits}:"+key, "garbage")
	}
	l := NewLimiter(c)
	for _, granted := range []bool{true, false} {
		d, err := l.Take(t.Context(), quota.Claim{Rates: []quota.Charge{{Key: "a", Rate: quota.Rate{Limit: 1, Per: time.Minute}, N: 1}}})
		if err != nil || d.Granted() != granted {
			t.Errorf("got %+v, %v; want granted %v", d, err, granted)
		}
	}
}

func TestARedisThatCannotWorkIsAway(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, s *server.Server){
		"it may not be written": func(t *testing.T, s *server.Server) { s.Do(t, "REPLICAOF", "127.0.0.1", "1") },
		"it has no memory left": func(t *testing.T, s *server.Server) { s.Do(t, "CONFIG", "SET", "maxmemory", "1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server.New(t)
			c := connect(t, s.URL)
			c.prefix = "x:"
			spoil(t, s)
			_, err := NewLimiter(c).Take(t.Context(), quota.Claim{Rates: []quota.Charge{{Key: "a", Rate: quota.Rate{Limit: 1, Per: time.Minute}, N: 1}}})
			if !fault.Is(err, fault.Unavailable) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestARedisThatMayOnlyBeReadWillNotDo(t *testing.T) {
	t.Parallel()
	s := server.New(t)
	s.Do(t, "ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection")
	err := connect(t, strings.Replace(s.URL, "redis://", "redis://reader:pw@", 1)).Probe(t.Context())
	if f := fault.As(err); f == nil || !strings.Contains(f.Hint, "NOPERM") {
		t.Errorf("got %v", err)
	}
}

func TestAServerStartsWithoutItsRedis(t *testing.T) {
	t.Parallel()
	s := server.New(t)
	s.Kill()
	c := connect(t, s.URL)
	unavailable(t, 2*dialTimeout, func() error { return Cache{c}.Set(t.Context(), "a", nil, time.Minute) })
	err := c.Probe(t.Context())
	if f := fault.As(err); f == nil || !strings.Contains(f.Hint, s.Addr) {
		t.Errorf("the probe says %v, without the address", err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return Cache{c}.Set(t.Context(), "a", nil, time.Minute) })
	if err := c.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	unavailable(t, time.Second, func() error { return Cache{c}.Set(t.Context(), "a", nil, time.Minute) })
}

func TestItIsToldWhenRedisGoesAndComesBack(t *testing.T) {
	t.Parallel()
	r := server.New(t)
	var o Options
	o.SetDefaults()
	o.URL = r.URL
	c, err := Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
	told := make(chan bool, 100)
	c.Watch(func(away bool, err error) {
		if away != (err != nil) {
			t.Errorf("away is %v, by %v", away, err)
		}
		told <- away
	})
	becomes := func(want bool) {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for late := time.After(10 * time.Second); ; {
			_ = c.Probe(t.Context()) // it fails while Redis is away
			select {
			case away := <-told:
				if away == want {
					return
				}
			case <-tick.C:
			case <-late:
				t.Fatalf("it is not told that Redis is away: %v", want)
			}
		}
	}
	if err := c.Probe(t.Context()); err != nil || len(told) != 0 {
		t.Fatalf("at first: %v, told %d times", err, len(told))
	}
	r.Kill()
	becomes(true)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	becomes(false)
}

func TestItsConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	s := server.New(t)
	c := connect(t, s.URL)
	if open, made, failed := c.Connections(); open != 0 || made != 0 || failed != 0 {
		t.Errorf("before the first call: %d open, %d made, %d failed", open, made, failed)
	}
	eventually(t, func() error { return c.Probe(t.Context()) })
	// Beside them the server has the one that asks it.
	list := strings.TrimSpace(s.Do(t, "CLIENT", "LIST"))
	open, made, failed := c.Connections()
	if theirs := strings.Count(list, "name=agentapi"); open == 0 || open != theirs || made < int64(open) || failed != 0 {
		t.Errorf("%d open, %d made, %d failed; the server has %d", open, made, failed, theirs)
	}
	s.Kill()
	for range failures {
		unavailable(t, time.Second, func() error { return c.Probe(t.Context()) })
	}
	for until := time.Now().Add(10 * time.Second); ; {
		open, _, failed := c.Connections()
		if open == 0 && failed > 0 {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("while it is away: %d open, %d failed", open, failed)
		}
		_ = c.Probe(t.Context())
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return c.Probe(t.Context()) })
	if open, again, _ := c.Connections(); open == 0 || again <= made {
		t.Errorf("when it is back: %d open, %d made after %d", open, again, made)
	}
}
