package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
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

// sample is what a server holds at a moment.
type sample struct{ memory, descriptors, threads, goroutines int }

func holds(t *testing.T, s *kit.Server, metrics int) sample {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	goroutines, err := strconv.Atoi(scrape(t, metrics)["go_goroutines"])
	if err != nil {
		t.Fatal(err)
	}
	return sample{s.Memory(t), len(files), len(tasks), goroutines}
}

// middle is the median of what get finds in the samples.
func middle(samples []sample, get func(sample) int) int {
	all := make([]int, len(samples))
	for i, s := range samples {
		all[i] = get(s)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// An hour of all kinds of requests at half of what the server can do, while Redis and
// the database come and go: what it holds does not grow, nothing is lost.
func TestWhatTheServerHoldsStaysFlat(t *testing.T) {
	kit.Plain(t, "it takes as long as it is told to")
	length := time.Duration(kit.Size(0, 8, 3600)) * time.Second
	pace := length / 30 // a fault comes and goes in one of them
	d, _ := migrated(t, postgres.Shared(t))
	proxy := postgres.Before(t, d.Server.Addr)
	shared := redis.New(t)
	s, metrics := counted(t, staff+"log: {level: error}\nlimits: {user: {requests_per_minute: 100000000}}\nagents: {demo: {driver: demo, health: {failures: 1000}}}\n",
		"DATABASE_URL="+d.At(d.App, proxy.Addr), "REDIS_URL="+shared.URL, "AGENTAPI_IDENTITY__KEY_PEPPER=a-pepper-of-the-tests")
	var (
		answered, odd atomic.Int64
		ill           atomic.Bool // the database is away, or has been lately
		n             atomic.Int64
	)
	one := func(r *rand.Rand) {
		headers := as([]string{"victim", "eve", "org_admin"}[r.IntN(3)])
		body, cut, leaves := kit.Ask("demo/echo", "hello there"), false, false
		switch r.IntN(8) {
		case 0, 1:
			body = kit.AskStream("demo/echo", "hello there")
		case 2:
			body, cut = kit.AskStream("demo/slow", strings.Repeat("word ", 20)), true
			leaves = r.IntN(2) == 0
		case 3:
			headers = append(headers, "Idempotency-Key", fmt.Sprint("key-", n.Add(1)))
		case 4:
			headers = append(headers, "X-Session-Id", fmt.Sprint("mine-", n.Add(1)/4))
		case 5:
			headers = []string{"Authorization", "Bearer nobody-knows-this"}
		case 6:
			body = `{"model":"demo/echo","messages":[`
		}
		before := ill.Load()
		resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", body, headers...)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if leaves {
			_, _ = io.CopyN(io.Discard, resp.Body, 300)
			return
		}
		text, err := io.ReadAll(resp.Body)
		switch {
		case err != nil:
			t.Error(err)
		case resp.StatusCode == 200 && (!cut || strings.HasSuffix(string(text), "data: [DONE]\n\n")):
			answered.Add(1)
		case slices.Contains([]int{400, 401, 409}, resp.StatusCode):
		case before || ill.Load():
			odd.Add(1)
		default:
			t.Errorf("%d %s", resp.StatusCode, text)
		}
	}
	// What it can do, for a moment, and then half of it.
	run := func(length time.Duration, each func() bool) int64 {
		var all sync.WaitGroup
		from := answered.Load()
		end := time.Now().Add(length)
		for i := range kit.Size(32, 32, 256) {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			all.Go(func() {
				for time.Now().Before(end) && each() {
					one(r)
				}
			})
		}
		all.Wait()
		return answered.Load() - from
	}
	few := min(length/4, 10*time.Second)
	rate := float64(run(few, func() bool { return true })) / few.Seconds()
	tick := time.NewTicker(time.Duration(float64(time.Second) / (rate / 2)))
	defer tick.Stop()
	var samples []sample
	faults := 0
	over := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		wait := func(d time.Duration) bool {
			select {
			case <-over:
				return false
			case <-time.After(d):
				return true
			}
		}
		for n := 0; wait(pace * 2); n++ {
			faults++
			switch n % 3 {
			case 0:
				shared.Kill()
				wait(pace / 2)
				if err := shared.Start(); err != nil {
					t.Error(err)
				}
			case 1:
				ill.Store(true)
				proxy.Down()
				wait(min(pace/2, 5*time.Second))
				proxy.Mend()
				wait(5 * time.Second) // until it is found to be back
				ill.Store(false)
			default:
				shared.Do(t, "FLUSHALL")
			}
		}
	})
	beside.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(length / 200):
				samples = append(samples, holds(t, s, metrics))
			}
		}
	})
	done := run(length, func() bool {
		select {
		case <-tick.C:
		case <-t.Context().Done():
		}
		return true
	})
	close(over)
	beside.Wait()
	if len(samples) < 20 || done == 0 {
		t.Fatalf("%d samples, %d answers", len(samples), done)
	}
	early, late := samples[len(samples)/4:len(samples)/2], samples[len(samples)*3/4:]
	for name, get := range map[string]func(sample) int{
		"memory": func(s sample) int { return s.memory }, "descriptors": func(s sample) int { return s.descriptors }, "threads": func(s sample) int { return s.threads },
		"goroutines": func(s sample) int { return s.goroutines },
	} {
		before, after := middle(early, get), middle(late, get)
		t.Logf("%s: %d, then %d", name, before, after)
		if allowed := before + before/4 + map[string]int{"memory": 16 << 20, "goroutines": 64}[name] + 8; after > allowed {
			t.Errorf("%s grows from %d to %d", name, before, after)
		}
	}
	t.Logf("%v at %.0f requests a second, %d answered, %d refused while the database was away, %d faults", length, rate/2, done, odd.Load(), faults)
}
