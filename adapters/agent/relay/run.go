package relay

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// Pass lets one program call its provider, while a run of it is under way.
type Pass struct {
	relay *Relay
	to    Provider
	token string

	mu      sync.Mutex
	runs    map[string]*Run // by their marks
	current *Run            // the one that calls without a mark belong to
}

// URL is where the program finds its provider's API; it ends as the provider's
// own would: with /v1 for OpenAI's dialect, with the host for Anthropic's.
func (p *Pass) URL() string {
	if p.to.API == Anthropic {
		return "http://" + p.relay.addr
	}
	return "http://" + p.relay.addr + "/v1"
}

// Token is what the program shows in place of a key.
func (p *Pass) Token() string { return p.token }

// Close ends the pass and all its runs.
func (p *Pass) Close() {
	p.relay.mu.Lock()
	delete(p.relay.passes, p.token)
	p.relay.mu.Unlock()
	p.mu.Lock()
	runs := make([]*Run, 0, len(p.runs))
	for _, r := range p.runs {
		runs = append(runs, r)
	}
	p.mu.Unlock()
	for _, r := range runs {
		r.End()
	}
}

// Begin begins a run, which ctx or End ends. Calls belong to it if they ask for a
// model that Model gave, or for any other model until the next Begin.
func (p *Pass) Begin(ctx context.Context) *Run {
	r := &Run{pass: p, mark: strings.ToLower(rand.Text()[:16])}
	r.ctx, r.cancel = context.WithCancel(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs[r.mark], p.current = r, r
	return r
}

// find gives the run that a call for model belongs to, and the model that is
// meant; nil when none is under way.
func (p *Pass) find(model string) (*Run, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if mark, rest, ok := strings.Cut(model, "~"); ok {
		if r := p.runs[mark]; r != nil {
			return r, rest
		}
	}
	return p.current, model
}

// Run is one piece of work of a program.
type Run struct {
	pass   *Pass
	mark   string
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	calls int           // under way
	idle  chan struct{} // closed when none is, while somebody waits for that
	ended bool
	used  chat.Usage
	known int // calls that said what they used
	asked int // calls that were answered
	err   *fault.Error
}

// Model gives model in a spelling that names the run, for programs that serve
// several at once and pass a model's name on as it is.
func (r *Run) Model(model string) string { return r.mark + "~" + model }

// End ends the run: calls that are under way are cancelled at the provider, and
// no more are taken. It returns when they have ended. It may be called twice.
func (r *Run) End() {
	r.cancel()
	r.pass.mu.Lock()
	delete(r.pass.runs, r.mark)
	if r.pass.current == r {
		r.pass.current = nil
	}
	r.pass.mu.Unlock()
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	<-r.quiet()
}

// Settle waits until no call is under way, for at most d.
func (r *Run) Settle(d time.Duration) {
	select {
	case <-r.quiet():
	case <-time.After(d):
	}
}

// quiet is closed once no call is under way.
func (r *Run) quiet() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	idle := r.idle
	if r.calls == 0 {
		close(r.idle)
		r.idle = nil
	}
	return idle
}

// Err is how the last call failed that failed; nil if none did.
func (r *Run) Err() *fault.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Usage is what all calls have used, as the provider counts it; ok is false if it
// did not say so of each that was answered.
func (r *Run) Usage() (u chat.Usage, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used, r.asked > 0 && r.known == r.asked
}

// enter counts a call in; false when the run has ended.
func (r *Run) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.ctx.Err() != nil {
		return false
	}
	r.calls++
	return true
}

// leave counts a call out.
func (r *Run) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls--; r.calls == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

func (r *Run) fail(f *fault.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = f
}

// answered notes a call that the provider answered.
func (r *Run) answered() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
}

// use adds what a call has used.
func (r *Run) use(u chat.Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known++
	r.used.Prompt += u.Prompt
	r.used.Completion += u.Completion
	r.used.Cached += u.Cached
	r.used.CacheWrite += u.CacheWrite
	r.used.Reasoning += u.Reasoning
}
