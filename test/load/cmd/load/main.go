// Command load measures servers side by side: every round runs the same phase
// against each target in turn, the order rotating, so that what else the
// machine does falls on all of them alike. Ratios against the baseline are
// formed inside each round and then reduced to a median.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"agentapi/test/load/internal/bench"
	"agentapi/test/load/internal/mock"
	"agentapi/test/load/internal/target"
	"agentapi/test/load/internal/wire"
)

// Report is the JSON output.
type Report struct {
	Label    string         `json:"label"`
	Time     time.Time      `json:"time"`
	Phase    bench.Phase    `json:"phase"`
	Mock     mock.Config    `json:"mock"`
	Rounds   int            `json:"rounds"`
	Baseline string         `json:"baseline"`
	Missing  []string       `json:"missing,omitempty"`
	Results  []bench.Result `json:"results"`
}

func main() {
	file := flag.String("targets", "targets.json", "targets file")
	only := flag.String("only", "", "comma-separated names; empty: all")
	mockURL := flag.String("mock", "http://127.0.0.1:9100", "mock upstream, for its settings")
	mockCfg := flag.String("mockcfg", "{}", "mock settings for this run, as JSON")
	conns := flag.Int("conns", 64, "connections")
	rate := flag.Float64("rate", 0, "open loop at this many requests a second; 0: closed loop")
	stream := flag.Bool("stream", false, "ask for SSE streams")
	tokens := flag.Int("tokens", 100, "max_tokens asked for")
	prompt := flag.Int("prompt", 1000, "prompt bytes")
	dur := flag.Duration("dur", 4*time.Second, "measured time of a phase")
	warm := flag.Duration("warm", time.Second, "warm-up of a phase")
	timeout := flag.Duration("timeout", 60*time.Second, "per request")
	rounds := flag.Int("rounds", 3, "rounds")
	baseline := flag.String("baseline", "direct", "target the ratios are against")
	quiet := flag.Float64("quiet", 0.35, "before a phase, wait until less than this share of the machine is busy")
	wait := flag.Duration("quietwait", 0, "for at most this long")
	mockPIDs := flag.String("mockpid", "", "file with the mock's process id")
	label := flag.String("label", "", "name of the run in the report")
	out := flag.String("out", "", "JSON file; empty: stdout")
	flag.Parse()

	rep := Report{Label: *label, Time: time.Now().UTC(), Rounds: *rounds, Baseline: *baseline}
	if err := json.Unmarshal([]byte(*mockCfg), &rep.Mock); err != nil {
		log.Fatal(err)
	}
	setMock(*mockURL, *mockCfg)
	rep.Phase = bench.Phase{Shape: target.Shape{Stream: *stream, Tokens: *tokens, PromptBytes: *prompt},
		Conns: *conns, Rate: *rate, Duration: *dur, Warmup: *warm, Timeout: *timeout,
		Delay: time.Duration(rep.Mock.DelayMS * float64(time.Millisecond))}
	ts, missing, err := target.Load(*file, *only)
	if err != nil {
		log.Fatal(err)
	}
	rep.Missing = missing
	mockPID := 0
	if b, err := os.ReadFile(*mockPIDs); err == nil {
		mockPID, _ = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	for round := range *rounds {
		for i := range ts {
			t := ts[(i+round)%len(ts)]
			bench.Quiet(*quiet, *wait)
			r, err := bench.Run(t, mockPID, rep.Phase, round)
			if err != nil {
				log.Printf("%s: %v", t.Name, err)
				continue
			}
			rep.Results = append(rep.Results, r)
			log.Printf("round %d %-18s rps %8.0f  p50 %8.0fus p99 %8.0fus  cpu/10k %6.2fs  rss %6.1f  bad %d err %v foreign %.2f",
				round, t.Name, r.RPS, r.Service.P50, r.Service.P99, r.CPUPer10k, r.RSSPeak, r.BadStream, r.Errors, r.Foreign)
		}
	}
	b, _ := json.MarshalIndent(rep, "", " ")
	if *out == "" {
		os.Stdout.Write(append(b, '\n'))
	} else if err := os.WriteFile(*out, b, 0o644); err != nil {
		log.Fatal(err)
	}
	table(rep, ts)
}

func setMock(url, cfg string) {
	addr, req, err := wire.Request(url+"/_mock/config", nil, []byte(cfg))
	if err != nil {
		log.Fatal(err)
	}
	c := wire.NewConn(addr, 4096)
	defer c.Close()
	if st, err := c.Do(req, 5*time.Second); err != nil || st != 200 {
		log.Fatalf("mock settings: status %d, %v", st, err)
	}
}

func table(rep Report, ts []target.T) {
	col := func(name string, f func(bench.Result) float64) (vs []float64) {
		for _, r := range rep.Results {
			if r.Target == name {
				vs = append(vs, f(r))
			}
		}
		return vs
	}
	med := func(vs []float64) float64 {
		if len(vs) == 0 {
			return 0
		}
		vs = slices.Clone(vs)
		slices.Sort(vs)
		return vs[len(vs)/2]
	}
	w := tabwriter.NewWriter(os.Stderr, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.Join([]string{"target", "rps", "p50us", "p99us", "p99.9us", "ovh50us", "ovh99us", "ttft50us", "relay50us", "relay99us", "tok/s", "cpu/10k", "cpu/Mtok", "rss", "err", "bad", "foreign"}, "\t")+"\t")
	for _, t := range ts {
		m := func(f func(bench.Result) float64) float64 { return med(col(t.Name, f)) }
		errs := m(func(r bench.Result) float64 {
			n := 0
			for _, v := range r.Errors {
				n += v
			}
			return float64(n)
		})
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%.1f\t%.1f\t%.0f\t%.0f\t%.2f\t\n", t.Name,
			m(func(r bench.Result) float64 { return r.RPS }),
			m(func(r bench.Result) float64 { return r.Latency.P50 }),
			m(func(r bench.Result) float64 { return r.Latency.P99 }),
			m(func(r bench.Result) float64 { return r.Latency.P999 }),
			m(func(r bench.Result) float64 { return r.Overhead.P50 }),
			m(func(r bench.Result) float64 { return r.Overhead.P99 }),
			m(func(r bench.Result) float64 { return r.TTFT.P50 }),
			m(func(r bench.Result) float64 { return r.Relay.P50 }),
			m(func(r bench.Result) float64 { return r.Relay.P99 }),
			m(func(r bench.Result) float64 { return r.TokensPerS }),
			m(func(r bench.Result) float64 { return r.CPUPer10k }),
			m(func(r bench.Result) float64 { return r.CPUPerMTok }),
			m(func(r bench.Result) float64 { return r.RSSPeak }),
			errs,
			m(func(r bench.Result) float64 { return float64(r.BadStream) }),
			m(func(r bench.Result) float64 { return r.Foreign }))
	}
	w.Flush()
}
