package ccr

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"agentapi/adapters/agent/process"
	"agentapi/adapters/agent/refusal"
	"agentapi/adapters/agent/relay"
	"agentapi/domain/fault"
)

// router is a supervised gateway: it is started, watched and started again.
type router struct {
	agent  *Agent
	runner *process.Runner

	mu      sync.Mutex
	at      *endpoint     // nil while it is not ready
	why     error         // why not, once a start has failed
	changed chan struct{} // closed when at or why change
	stopped bool
	cancel  context.CancelFunc
	done    chan struct{} // closed when the supervision has ended; nil before it began
}

// endpoint is where a gateway is spoken to.
type endpoint struct {
	url, key string
	passes   map[string]*relay.Pass // by the provider's name
}

func newRouter(a *Agent, r *process.Runner) *router {
	return &router{agent: a, runner: r, changed: make(chan struct{})}
}

// How long a gateway has to become ready, and the pauses between starts.
const (
	readyLimit = 30 * time.Second
	firstPause = 500 * time.Millisecond
	lastPause  = 30 * time.Second
	steady     = time.Minute // one that lived so long is started again at once
)

// start begins to supervise, once.
func (r *router) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil || r.stopped {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.done = cancel, make(chan struct{})
	go func() {
		defer close(r.done)
		r.supervise(ctx)
	}()
}

func (r *router) stop() {
	r.mu.Lock()
	cancel, done := r.cancel, r.done
	r.stopped = true
	r.mu.Unlock()
	if done != nil {
		cancel()
		<-done
	}
}

func (r *router) running() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done != nil
}

func (r *router) set(at *endpoint, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.why = at, why
	close(r.changed)
	r.changed = make(chan struct{})
}

// endpoint gives a gateway that is ready. It waits for one that starts; one that
// has failed is Unavailable at once, so that another agent can take over.
func (r *router) endpoint(ctx context.Context) (*endpoint, error) {
	r.start()
	for {
		r.mu.Lock()
		at, why, changed, done := r.at, r.why, r.changed, r.done
		r.mu.Unlock()
		switch {
		case at != nil:
			return at, nil
		case why != nil:
			return nil, why
		case done == nil:
			return nil, fault.New(fault.Unavailable, "The agent stops.").WithCode("agent_unavailable")
		}
		select {
		case <-changed:
		case <-done:
			return nil, fault.New(fault.Unavailable, "The agent stops.").WithCode("agent_unavailable")
		case <-ctx.Done():
			return nil, refusal.Ended(ctx)
		}
	}
}

// supervise keeps a gateway running until ctx ends.
func (r *router) supervise(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := r.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			pause = firstPause
		}
		f := fault.Wrap(fault.Unavailable, err, "The agent's gateway is not running.").WithCode("agent_unavailable").WithRetryAfter(pause)
		if c := fault.As(err); c != nil && c.Hint != "" {
			f = f.WithHint(c.Hint)
		}
		r.set(nil, f)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
}

// serve runs one gateway to its end, and says why it ended.
func (r *router) serve(ctx context.Context) error {
	home, err := process.TempDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	at := &endpoint{key: rand.Text(), passes: map[string]*relay.Pass{}}
	defer func() {
		for _, p := range at.passes {
			p.Close()
		}
	}()
	port, err := freePort()
	if err != nil {
		return err
	}
	at.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	env, err := r.configure(home, port, at)
	if err != nil {
		return err
	}
	live, err := r.runner.Open(ctx, process.Job{Home: home, Env: env}, func([]byte) {})
	if err != nil {
		return err
	}
	defer live.Stop()
	if err := r.ready(ctx, at, live); err != nil {
		return err
	}
	r.set(at, nil)
	select {
	case <-live.Done():
		r.set(nil, fault.New(fault.Unavailable, "The agent's gateway has died.").WithCode("agent_unavailable").WithRetryAfter(time.Second))
		return live.Err()
	case <-ctx.Done():
		return nil
	}
}

// ready waits until the gateway answers: neither its process id file nor its exit
// code can be trusted to say so.
func (r *router) ready(ctx context.Context, at *endpoint, live *process.Live) error {
	until := time.After(readyLimit)
	for {
		if r.agent.healthy(ctx, at.url) == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-live.Done():
			if err := live.Err(); err != nil {
				return err
			}
			return fault.New(fault.Unavailable, "The program ccr ended as it started.")
		case <-until:
			return fault.New(fault.Unavailable, "The program ccr did not become ready.")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// configure writes the gateway's configuration. The secrets in it are names of
// variables: the gateway's key, and a token of the relay for each provider.
func (r *router) configure(home string, port int, at *endpoint) (env map[string]string, err error) {
	env = map[string]string{"CCR_KEY": at.key, "SERVICE_PORT": fmt.Sprint(port), "NO_PROXY": "127.0.0.1"}
	type transformer struct {
		Use []string `json:"use"`
	}
	type provider struct {
		Name        string      `json:"name"`
		URL         string      `json:"api_base_url"`
		Key         string      `json:"api_key"`
		Models      []string    `json:"models"`
		Transformer transformer `json:"transformer"`
	}
	var all []provider
	for i, p := range r.agent.o.Providers {
		if p.Vertex != nil {
			continue
		}
		pass, err := r.agent.relay.Open(p.Provider)
		if err != nil {
			return nil, err
		}
		at.passes[p.Name] = pass
		token := fmt.Sprintf("RELAY_TOKEN_%d", i)
		env[token] = pass.Token()
		out := provider{Name: p.Name, URL: pass.URL() + "/chat/completions", Key: "${" + token + "}", Models: p.Models, Transformer: transformer{[]string{"openrouter"}}}
		if p.API == relay.Anthropic {
			out.URL, out.Transformer.Use = pass.URL()+"/v1/messages", []string{"Anthropic"}
		}
		if len(p.Transformers) > 0 {
			out.Transformer.Use = p.Transformers
		}
		all = append(all, out)
	}
	text, err := json.Marshal(map[string]any{
		"LOG": false, "HOST": "127.0.0.1", "PORT": port, "APIKEY": "${CCR_KEY}", "API_TIMEOUT_MS": 3_600_000, "NON_INTERACTIVE_MODE": false,
		"Providers": all, "Router": map[string]string{"default": all[0].Name + "," + all[0].Models[0]},
	})
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(home, ".claude-code-router")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	return env, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// runs longer than this of letters or of blanks take ccr's token counter seconds,
// in which it serves nobody.
const maxRun = 16 << 10

// stalls tells whether text would hold the gateway up.
func stalls(text string) bool {
	const (
		letter = iota + 1
		blank
		other
	)
	run, last := 0, 0
	for _, c := range text {
		class := other
		switch {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			class = blank
		case c >= '0' && c <= '9':
			class = 0 // counted in threes
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c > 0x7f:
			class = letter
		}
		if class != last || class == 0 {
			run, last = 0, class
		}
		if run++; run > maxRun {
			return true
		}
	}
	return false
}
