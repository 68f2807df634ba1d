// Command report turns load's JSON files into Markdown tables: medians with
// their range over the rounds, and ratios formed within each round against a
// reference target, then reduced to a median.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"slices"
	"strings"

	"agentapi/test/load/internal/bench"
)

type file struct {
	Label   string         `json:"label"`
	Phase   bench.Phase    `json:"phase"`
	Results []bench.Result `json:"results"`
}

type column struct {
	name string
	get  func(bench.Result) float64
	wide bool // show the range
}

var columns = map[string]column{
	"rps":      {"req/s", func(r bench.Result) float64 { return r.RPS }, true},
	"p50":      {"p50 µs", func(r bench.Result) float64 { return r.Latency.P50 }, true},
	"p99":      {"p99 µs", func(r bench.Result) float64 { return r.Latency.P99 }, false},
	"p999":     {"p99.9 µs", func(r bench.Result) float64 { return r.Latency.P999 }, false},
	"s50":      {"service p50 µs", func(r bench.Result) float64 { return r.Service.P50 }, true},
	"o50":      {"overhead p50 µs", func(r bench.Result) float64 { return r.Overhead.P50 }, true},
	"o99":      {"overhead p99 µs", func(r bench.Result) float64 { return r.Overhead.P99 }, false},
	"ttft50":   {"TTFT p50 µs", func(r bench.Result) float64 { return r.TTFT.P50 }, true},
	"ttft99":   {"TTFT p99 µs", func(r bench.Result) float64 { return r.TTFT.P99 }, false},
	"relay50":  {"token delay p50 µs", func(r bench.Result) float64 { return r.Relay.P50 }, true},
	"relay99":  {"token delay p99 µs", func(r bench.Result) float64 { return r.Relay.P99 }, false},
	"jitter99": {"gap jitter p99 µs", func(r bench.Result) float64 { return r.Jitter.P99 }, false},
	"toks":     {"tokens/s", func(r bench.Result) float64 { return r.TokensPerS }, false},
	"cpu":      {"CPU µs/req", func(r bench.Result) float64 { return r.CPUPer10k * 100 }, true},
	"cput":     {"CPU µs/token", func(r bench.Result) float64 { return r.CPUPerMTok }, true},
	"rss":      {"peak RSS MB", func(r bench.Result) float64 { return r.RSSPeak }, false},
	"bytes":    {"bytes/answer", func(r bench.Result) float64 { return r.BytesPer }, false},
	"foreign":  {"foreign cores", func(r bench.Result) float64 { return r.Foreign }, false},
	"err": {"errors", func(r bench.Result) float64 {
		n := r.BadStream
		for _, k := range r.Errors {
			n += k
		}
		return float64(n)
	}, false},
}

func main() {
	cols := flag.String("cols", "rps,p50,p99,cpu,rss,err,foreign", "columns: "+names())
	ref := flag.String("ref", "fiber", "reference target")
	ratio := flag.String("ratio", "cpu", "column the ratio is of")
	flag.Parse()
	for _, p := range flag.Args() {
		b, err := os.ReadFile(p)
		if err != nil {
			log.Fatal(err)
		}
		var f file
		if err = json.Unmarshal(b, &f); err != nil {
			log.Fatal(p, ": ", err)
		}
		table(f, strings.Split(*cols, ","), *ref, *ratio)
	}
}

func names() string {
	var ns []string
	for n := range columns {
		ns = append(ns, n)
	}
	slices.Sort(ns)
	return strings.Join(ns, ",")
}

func table(f file, cols []string, ref, ratio string) {
	var order []string
	rounds := map[string]map[int]bench.Result{}
	for _, r := range f.Results {
		if rounds[r.Target] == nil {
			rounds[r.Target] = map[int]bench.Result{}
			order = append(order, r.Target)
		}
		rounds[r.Target][r.Round] = r
	}
	fmt.Printf("\n**%s**: %d connections, rate %g, stream %v, %d tokens, %d B prompt\n\n", f.Label, f.Phase.Conns, f.Phase.Rate, f.Phase.Stream, f.Phase.Tokens, f.Phase.PromptBytes)
	head, rule := "| target ", "| --- "
	for _, c := range cols {
		head += "| " + columns[c].name + " "
		rule += "| ---: "
	}
	fmt.Printf("%s| %s × %s |\n%s| ---: |\n", head, columns[ratio].name, ref, rule)
	for _, t := range order {
		fmt.Printf("| %s ", t)
		for _, c := range cols {
			var vs []float64
			for _, r := range rounds[t] {
				vs = append(vs, columns[c].get(r))
			}
			lo, mid, hi := spread(vs)
			if columns[c].wide {
				fmt.Printf("| %s (%s–%s) ", num(mid), num(lo), num(hi))
			} else {
				fmt.Printf("| %s ", num(mid))
			}
		}
		var rs []float64
		for i, r := range rounds[t] {
			if base, ok := rounds[ref][i]; ok && columns[ratio].get(base) > 0 {
				rs = append(rs, columns[ratio].get(r)/columns[ratio].get(base))
			}
		}
		_, mid, _ := spread(rs)
		fmt.Printf("| %s |\n", num(mid))
	}
}

func spread(vs []float64) (lo, mid, hi float64) {
	if len(vs) == 0 {
		return 0, 0, 0
	}
	slices.Sort(vs)
	return vs[0], vs[len(vs)/2], vs[len(vs)-1]
}

func num(v float64) string {
	switch {
	case v == math.Trunc(v) && math.Abs(v) < 1e6, math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
