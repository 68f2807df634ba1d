// Command scale holds many slow streams open at once through each target and
// reports memory per stream, CPU and what was delivered.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"agentapi/test/load/internal/hist"
	"agentapi/test/load/internal/proc"
	"agentapi/test/load/internal/sse"
	"agentapi/test/load/internal/target"
	"agentapi/test/load/internal/wire"
)

// Result is one level of one target.
type Result struct {
	Target     string         `json:"target"`
	Streams    int            `json:"streams"`
	Seconds    float64        `json:"seconds"`
	Completed  int            `json:"completed"`
	Bad        int            `json:"bad"`
	Errors     map[string]int `json:"errors,omitempty"`
	IdleRSS    float64        `json:"idle_rss_mb"`
	PlateauRSS float64        `json:"plateau_rss_mb"`
	AfterRSS   float64        `json:"after_rss_mb"`
	KBPer      float64        `json:"kb_per_stream"`
	Threads    int            `json:"threads"`
	Cores      float64        `json:"cores"`          // mean over the plateau
	CPUPerMTok float64        `json:"cpu_s_per_mtok"` // whole run
	TokensPerS float64        `json:"tokens_per_s"`   // plateau
	AskedPerS  float64        `json:"asked_tokens_per_s"`
	TTFT       hist.Summary   `json:"ttft"`
	Relay      hist.Summary   `json:"relay"`
	Jitter     hist.Summary   `json:"jitter"`
}

func main() {
	file := flag.String("targets", "targets.json", "targets file")
	only := flag.String("only", "", "comma-separated names; empty: all")
	mockURL := flag.String("mock", "http://127.0.0.1:9100", "mock upstream")
	streams := flag.Int("streams", 1000, "concurrent streams")
	gap := flag.Duration("gap", 500*time.Millisecond, "time between a stream's tokens")
	hold := flag.Duration("hold", 10*time.Second, "how long all streams stay open together")
	ramp := flag.Duration("ramp", 4*time.Second, "time over which they start")
	out := flag.String("out", "", "JSON file")
	flag.Parse()
	log.SetFlags(log.Ltime)
	raiseFiles()
	ts, missing, err := target.Load(*file, *only)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range missing {
		log.Printf("%s is not running", m)
	}
	addr, req, err := wire.Request(*mockURL+"/_mock/config", nil, fmt.Appendf(nil, `{"delay_ms":%g}`, float64(*gap)/1e6))
	if err != nil {
		log.Fatal(err)
	}
	mc := wire.NewConn(addr, 4096)
	if st, err := mc.Do(req, 5*time.Second); err != nil || st != 200 {
		log.Fatalf("mock settings: %d %v", st, err)
	}
	mc.Close()
	var all []Result
	for _, t := range ts {
		r, err := run(t, *streams, *gap, *ramp, *hold)
		if err != nil {
			log.Printf("%s: %v", t.Name, err)
			continue
		}
		all = append(all, r)
		log.Printf("%-18s %d streams: %6.1f KB each (rss %.0f -> %.0f -> %.0f MB) cores %.2f cpu/Mtok %.1f tok/s %.0f of %.0f relay p50 %.0f p99 %.0fus ttft p99 %.0fus done %d bad %d err %v",
			r.Target, r.Streams, r.KBPer, r.IdleRSS, r.PlateauRSS, r.AfterRSS, r.Cores, r.CPUPerMTok, r.TokensPerS, r.AskedPerS, r.Relay.P50, r.Relay.P99, r.TTFT.P99, r.Completed, r.Bad, r.Errors)
	}
	if *out != "" {
		b, _ := json.MarshalIndent(all, "", " ")
		if err := os.WriteFile(*out, b, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

func raiseFiles() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		l.Cur = l.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	}
}

func run(t target.T, n int, gap, ramp, hold time.Duration) (Result, error) {
	// At least 17 tokens: Bifrost raises a smaller limit to 16 by itself.
	tokens := max(int((ramp+hold)/gap), 17)
	r := Result{Target: t.Name, Streams: n, Errors: map[string]int{}, AskedPerS: float64(n) / gap.Seconds()}
	addr, req, err := t.Request(target.Shape{Stream: true, Tokens: tokens, PromptBytes: 1000})
	if err != nil {
		return r, err
	}
	idle, err := proc.Read(t.PID)
	if err != nil {
		return r, err
	}
	const shards = 64 // histograms are large; share them
	type shard struct {
		sync.Mutex
		ttft, relay, jitter *hist.H
		errs                map[string]int
	}
	sh := make([]*shard, shards)
	for i := range sh {
		sh[i] = &shard{ttft: hist.New(), relay: hist.New(), jitter: hist.New(), errs: map[string]int{}}
	}
	var got, completed, bad atomic.Int64
	start := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			s := sh[i%shards]
			begin := start.Add(ramp * time.Duration(i) / time.Duration(n))
			time.Sleep(time.Until(begin))
			c := wire.NewConn(addr, 1024)
			defer c.Close()
			sent := time.Now()
			var last time.Time
			ck := sse.Checker{OnToken: func(seq int, at int64, now time.Time) {
				got.Add(1)
				s.Lock()
				s.relay.Add(time.Duration(now.UnixNano() - at))
				if seq == 0 {
					s.ttft.Add(now.Sub(sent))
				} else {
					d := now.Sub(last) - gap
					s.jitter.Add(max(d, -d))
				}
				s.Unlock()
				last = now
			}}
			fail := func(e string) {
				s.Lock()
				s.errs[e]++
				s.Unlock()
			}
			st, err := c.Do(req, ramp+hold+60*time.Second)
			if err != nil {
				fail(err.Error())
				return
			}
			var buf [1024]byte
			for {
				k, err := c.Read(buf[:])
				if st == 200 {
					ck.Write(buf[:k], time.Now())
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					fail(err.Error())
					return
				}
			}
			switch {
			case st != 200:
				fail(fmt.Sprint("status ", st))
			case ck.OK(tokens):
				completed.Add(1)
			default:
				bad.Add(1)
			}
		})
	}
	time.Sleep(ramp + hold/10)
	a, _ := proc.Read(t.PID)
	tok0, at0 := got.Load(), time.Now()
	smp := proc.Sample(t.PID, 250*time.Millisecond)
	time.Sleep(hold * 7 / 10)
	b, _ := proc.Read(t.PID)
	tok1, at1 := got.Load(), time.Now()
	rss := smp.Stop()
	wg.Wait()
	r.Seconds = time.Since(start).Seconds()
	end, _ := proc.Read(t.PID)
	r.IdleRSS, r.AfterRSS = mb(idle.RSS), mb(end.RSS)
	if len(rss) > 0 {
		slices.Sort(rss)
		r.PlateauRSS = mb(rss[len(rss)/2])
		r.KBPer = float64(rss[len(rss)/2]-idle.RSS) / 1024 / float64(n)
	}
	r.Threads = b.Threads
	r.Cores = (b.CPU - a.CPU).Seconds() / at1.Sub(at0).Seconds()
	r.TokensPerS = float64(tok1-tok0) / at1.Sub(at0).Seconds()
	if g := got.Load(); g > 0 {
		r.CPUPerMTok = (end.CPU - idle.CPU).Seconds() / float64(g) * 1e6
	}
	r.Completed, r.Bad = int(completed.Load()), int(bad.Load())
	ttft, relay, jitter := hist.New(), hist.New(), hist.New()
	for _, s := range sh {
		ttft.Merge(s.ttft)
		relay.Merge(s.relay)
		jitter.Merge(s.jitter)
		for e, k := range s.errs {
			r.Errors[e] += k
		}
	}
	r.TTFT, r.Relay, r.Jitter = ttft.Summary(), relay.Summary(), jitter.Summary()
	return r, nil
}

func mb(b int64) float64 { return float64(b*10/(1<<20)) / 10 }
