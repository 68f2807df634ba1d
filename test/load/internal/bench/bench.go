// Package bench runs one timed phase of load against one target.
package bench

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"agentapi/test/load/internal/hist"
	"agentapi/test/load/internal/proc"
	"agentapi/test/load/internal/sse"
	"agentapi/test/load/internal/target"
	"agentapi/test/load/internal/wire"
)

// Phase says what to run.
type Phase struct {
	target.Shape
	Conns    int           `json:"conns"`
	Rate     float64       `json:"rate"` // requests a second; 0: closed loop
	Duration time.Duration `json:"duration_ns"`
	Warmup   time.Duration `json:"warmup_ns"`
	Timeout  time.Duration `json:"timeout_ns"`
	Delay    time.Duration `json:"delay_ns"` // the mock's token pacing, for jitter
}

// Result is one phase against one target.
type Result struct {
	Target   string  `json:"target"`
	Round    int     `json:"round"`
	Seconds  float64 `json:"seconds"`
	Requests uint64  `json:"requests"` // good ones inside the window
	RPS      float64 `json:"rps"`

	// Latency counts from the moment a request was due (open loop) or sent
	// (closed loop); Service always from the moment it was sent.
	Latency hist.Summary `json:"latency"`
	Service hist.Summary `json:"service"`
	// Overhead is the time outside the mock: request leg plus answer leg of
	// a whole answer, read off the mock's time stamps.
	Overhead hist.Summary `json:"overhead"`

	TTFT       hist.Summary `json:"ttft"`   // to the first token, from sending
	Relay      hist.Summary `json:"relay"`  // each token: mock's write to arrival here
	Jitter     hist.Summary `json:"jitter"` // each gap: |gap - pacing|
	TokensPerS float64      `json:"tokens_per_s"`
	EventsPer  float64      `json:"events_per_stream"`
	BytesPer   float64      `json:"bytes_per_response"`

	Errors    map[string]int `json:"errors,omitempty"`
	BadStream int            `json:"bad_streams"` // incomplete, disordered or unclosed

	CPUPer10k   float64 `json:"cpu_s_per_10k"`  // server CPU seconds per 10k requests
	CPUPerMTok  float64 `json:"cpu_s_per_mtok"` // server CPU seconds per million tokens
	ServerCores float64 `json:"server_cores"`   // mean cores the server used
	RSSBefore   float64 `json:"rss_before_mb"`
	RSSMedian   float64 `json:"rss_median_mb"`
	RSSPeak     float64 `json:"rss_peak_mb"`
	HostBusy    float64 `json:"host_busy"` // share of the whole machine that was busy
	// Foreign is how many cores other programs took meanwhile: machine minus
	// server, mock and generator. A phase with much of it has latencies that
	// say little; its CPU figures still hold.
	Foreign float64 `json:"foreign_cores"`
}

type worker struct {
	conn    *wire.Conn
	req     []byte
	ck      sse.Checker
	buf     []byte
	body    []byte
	latency *hist.H
	service *hist.H
	over    *hist.H
	ttft    *hist.H
	relay   *hist.H
	jitter  *hist.H
	errs    map[string]int
	good    uint64
	bad     int
	tokens  int
	events  int
	bytes   int
	all     uint64 // good requests, warm-up included
	allTok  int

	counting bool
	sent     time.Time
	last     time.Time
	delay    time.Duration
}

func newWorker(addr string, req []byte, p Phase) *worker {
	w := &worker{conn: wire.NewConn(addr, 16<<10), req: req, buf: make([]byte, 16<<10), errs: map[string]int{},
		latency: hist.New(), service: hist.New(), over: hist.New(), ttft: hist.New(), relay: hist.New(), jitter: hist.New(), delay: p.Delay}
	w.ck.OnToken = w.token
	return w
}

func (w *worker) token(seq int, sent int64, at time.Time) {
	if w.counting {
		w.relay.Add(time.Duration(at.UnixNano() - sent))
		if seq == 0 {
			w.ttft.Add(at.Sub(w.sent))
		} else {
			d := at.Sub(w.last) - w.delay
			w.jitter.Add(max(d, -d))
		}
	}
	w.last = at
}

// one sends a request that was due at the given moment.
func (w *worker) one(p Phase, due time.Time, counting bool) {
	w.counting = counting
	w.sent = time.Now()
	status, err := w.conn.Do(w.req, p.Timeout)
	if err != nil {
		w.fail(err)
		return
	}
	w.ck.Reset()
	w.body = w.body[:0]
	var end time.Time
	for {
		n, err := w.conn.Read(w.buf)
		end = time.Now()
		if p.Stream && status == 200 {
			w.ck.Write(w.buf[:n], end)
		} else {
			w.body = append(w.body, w.buf[:n]...)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			w.fail(err)
			return
		}
	}
	if status != 200 {
		w.fail(fmt.Errorf("status %d: %.120s", status, w.body))
		return
	}
	if p.Stream {
		if !w.ck.OK(p.Tokens) {
			w.bad++
			return
		}
		w.allTok += w.ck.Tokens
	} else {
		recv, sent, ok := marks(w.body)
		if !ok {
			w.bad++
			return
		}
		if counting {
			w.over.Add(time.Duration(recv - w.sent.UnixNano() + end.UnixNano() - sent))
		}
		w.ck.Bytes = len(w.body)
	}
	w.all++
	if !counting {
		return
	}
	w.good++
	w.tokens += w.ck.Tokens
	w.events += w.ck.Events
	w.bytes += w.ck.Bytes
	w.latency.Add(end.Sub(due))
	w.service.Add(end.Sub(w.sent))
}

func (w *worker) fail(err error) {
	s := err.Error()
	if len(s) > 160 {
		s = s[:160]
	}
	w.errs[s]++
	w.conn.Close()
	time.Sleep(2 * time.Millisecond) // no hot loop on a dead server
}

func marks(b []byte) (recv, sent int64, ok bool) {
	i := bytes.Index(b, []byte(`"r=`))
	if i < 0 || len(b) < i+37 {
		return 0, 0, false
	}
	recv, ok1 := sse.Hex16(b[i+3 : i+19])
	sent, ok2 := sse.Hex16(b[i+21 : i+37])
	return recv, sent, ok1 && ok2
}

// Quiet waits until other programs leave the machine alone: until less than
// share of it was busy over a quarter of a second, or the time is up.
func Quiet(share float64, wait time.Duration) {
	for end := time.Now().Add(wait); time.Now().Before(end); {
		b0, t0 := proc.HostBusy()
		time.Sleep(250 * time.Millisecond)
		b1, t1 := proc.HostBusy()
		if t1 > t0 && float64(b1-b0) < share*float64(t1-t0) {
			return
		}
	}
}

// Run does the phase. The mock's process id is only for telling its CPU time
// from that of other programs.
func Run(t target.T, mockPID int, p Phase, round int) (Result, error) {
	r := Result{Target: t.Name, Round: round, Errors: map[string]int{}}
	addr, req, err := t.Request(p.Shape)
	if err != nil {
		return r, err
	}
	ws := make([]*worker, p.Conns)
	for i := range ws {
		ws[i] = newWorker(addr, req, p)
	}
	runtime.GC()
	before, err := proc.Read(t.PID)
	if err != nil {
		return r, err
	}
	own := func() time.Duration {
		u, _ := proc.Read(t.PID)
		if mockPID != t.PID {
			m, _ := proc.Read(mockPID)
			u.CPU += m.CPU
		}
		return u.CPU + proc.Self()
	}
	busy0, total0 := proc.HostBusy()
	own0 := own()
	sampler := proc.Sample(t.PID, 200*time.Millisecond)

	start := time.Now()
	open := start.Add(p.Warmup)
	stop := open.Add(p.Duration)
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, w := range ws {
		wg.Go(func() {
			defer w.conn.Close()
			for {
				due := time.Now()
				if p.Rate > 0 {
					k := next.Add(1) - 1
					due = start.Add(time.Duration(float64(k) / p.Rate * float64(time.Second)))
				}
				if !due.Before(stop) {
					return
				}
				time.Sleep(time.Until(due))
				w.one(p, due, !due.Before(open))
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(open)

	after, _ := proc.Read(t.PID)
	busy1, total1 := proc.HostBusy()
	rss := sampler.Stop()
	h := [6]*hist.H{hist.New(), hist.New(), hist.New(), hist.New(), hist.New(), hist.New()}
	var all uint64
	var tokens, allTok, events, bytes int
	for _, w := range ws {
		for i, o := range []*hist.H{w.latency, w.service, w.over, w.ttft, w.relay, w.jitter} {
			h[i].Merge(o)
		}
		for e, n := range w.errs {
			r.Errors[e] += n
		}
		r.Requests += w.good
		r.BadStream += w.bad
		all += w.all
		tokens += w.tokens
		allTok += w.allTok
		events += w.events
		bytes += w.bytes
	}
	r.Latency, r.Service, r.Overhead = h[0].Summary(), h[1].Summary(), h[2].Summary()
	r.TTFT, r.Relay, r.Jitter = h[3].Summary(), h[4].Summary(), h[5].Summary()
	r.Seconds = elapsed.Seconds()
	r.RPS = float64(r.Requests) / r.Seconds
	r.TokensPerS = float64(tokens) / r.Seconds
	cpu := (after.CPU - before.CPU).Seconds()
	if all > 0 {
		r.CPUPer10k = cpu / float64(all) * 1e4
	}
	if allTok > 0 {
		r.CPUPerMTok = cpu / float64(allTok) * 1e6
	}
	if r.Requests > 0 {
		r.EventsPer = float64(events) / float64(r.Requests)
		r.BytesPer = float64(bytes) / float64(r.Requests)
	}
	r.ServerCores = cpu / time.Since(start).Seconds()
	r.RSSBefore = mb(before.RSS)
	if len(rss) > 0 {
		slices.Sort(rss)
		r.RSSMedian, r.RSSPeak = mb(rss[len(rss)/2]), mb(rss[len(rss)-1])
	}
	if total1 > total0 {
		r.HostBusy = float64(busy1-busy0) / float64(total1-total0)
		r.Foreign = max(0, (busy1-busy0-(own()-own0)).Seconds()/time.Since(start).Seconds())
	}
	return r, nil
}

func mb(b int64) float64 { return math.Round(float64(b)/(1<<20)*10) / 10 }
