package e2e

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"agentapi/test/kit"
	"agentapi/test/postgres"
)

// BenchmarkDurable answers whole requests with every turn stored, in each storage
// with and without the audit log, side by side: the machine is shared with the clients and the
// database.
func BenchmarkDurable(b *testing.B) {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 64
	for _, c := range []struct {
		storage string
		audited bool
	}{{"memory", false}, {"memory", true}, {"sqlite", false}, {"sqlite", true}, {"postgres", false}, {"postgres", true}} {
		o := kit.Options{Config: fmt.Sprintf("log: {level: warn}\naudit: {enabled: %t}\n", c.audited)}
		switch c.storage {
		case "memory":
			o.Config += "storage: {driver: memory}\n"
		case "postgres":
			_, o.Env = migrated(b, postgres.Shared(b))
		}
		s := kit.Start(b, o)
		for _, clients := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s, audited %t/%d clients", c.storage, c.audited, clients), func(b *testing.B) {
				var (
					left atomic.Int64
					all  sync.WaitGroup
					mu   sync.Mutex
					took []time.Duration
				)
				left.Store(int64(b.N))
				cpu := processorTime(b, s.PID())
				b.ResetTimer()
				for range clients {
					all.Go(func() {
						for left.Add(-1) >= 0 {
							from := time.Now()
							a, err := s.Do(b.Context(), http.MethodPost, "/v1/chat/completions", kit.Ask("demo/echo", "hello there"))
							if err != nil || a.Status != http.StatusOK {
								b.Errorf("%d %s, %v", a.Status, a.Body, err)
								return
							}
							mu.Lock()
							took = append(took, time.Since(from))
							mu.Unlock()
						}
					})
				}
				all.Wait()
				b.StopTimer()
				slices.Sort(took)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
				b.ReportMetric(float64((processorTime(b, s.PID())-cpu).Microseconds())/float64(b.N), "server-cpu-µs/request")
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			})
		}
		s.Kill()
	}
}

// processorTime is what a process has used of the processors, in the kernel's
// ticks of 10 ms.
func processorTime(b *testing.B, pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	var user, system int64
	if f := strings.Fields(rest); len(f) > 13 {
		if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
			b.Fatal(err)
		}
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
