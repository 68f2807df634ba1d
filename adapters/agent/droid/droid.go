// Package droid is Factory's CLI as an agent: warm processes that speak JSON-RPC
// on their standard input and output, each the property of one session of one
// user for its whole life. Their models are reached through the relay; no
// process holds a provider's key.
package droid

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"time"

	"agentapi/adapters/agent/process"
	"agentapi/adapters/agent/refusal"
	"agentapi/adapters/agent/relay"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Tested is the version whose contract the tests hold.
const Tested = "0.215.0"

// Options configures an Agent.
type Options struct {
	Command        string `yaml:"command" doc:"the program; DROID_PATH"`
	relay.Provider `yaml:",inline"`
	Tools          []string      `yaml:"tools" doc:"ids of droid's own tools that it may use, such as read-cli or execute-cli; empty: none. They run as the server's user: not for several tenants"`
	Autonomy       string        `yaml:"autonomy" doc:"what it may do without asking: off, low, medium or high; what it asks for is denied"`
	Idle           time.Duration `yaml:"idle" doc:"how long a process waits for its session's next turn"`
	Max            int           `yaml:"max" doc:"processes at once, of about 400 MB each; 0: as many as half of the free memory holds"`
	MaxTokens      int           `yaml:"max_tokens" doc:"tokens of one answer of its model, at most"`
	Dir            string        `yaml:"dir" doc:"where homes and workspaces are kept; in the data folder if empty"`
}

// SetDefaults fills in what a configuration may leave out: no tools, autonomy off.
func (o *Options) SetDefaults() {
	o.Command, o.Autonomy, o.Idle, o.MaxTokens = "droid", "off", 5*time.Minute, 16384
}

// Validate refuses what cannot work.
func (o *Options) Validate() error {
	if o.Command == "" {
		return fault.Invalidf("command", "missing_required_parameter", "command: it must name the program")
	}
	if err := o.Provider.Validate(); err != nil {
		return err
	}
	switch o.Autonomy {
	case "off", "low", "medium", "high":
	default:
		return fault.Invalidf("autonomy", "invalid_value", "autonomy: %q is none of off, low, medium, high", o.Autonomy)
	}
	if o.Autonomy != "off" && len(o.Tools) == 0 {
		return fault.Invalidf("autonomy", "invalid_value", "autonomy: it means nothing without tools")
	}
	if o.Idle <= 0 || o.Max < 0 || o.MaxTokens < 1 {
		return fault.Invalidf("", "out_of_range", "idle and max_tokens must be positive, max not negative")
	}
	return nil
}

// String gives the options without their secrets, however they are printed.
func (o Options) String() string { return "droid options for " + o.BaseURL }

// GoString is String.
func (o Options) GoString() string { return o.String() }

// Agent is a ports.Agent. Stop ends its processes.
type Agent struct {
	o      Options
	relay  *relay.Relay
	runner *process.Runner
	warm   *pool

	mu    sync.Mutex
	owner tenancy.OrgID // the one organisation that tools may work for
}

var _ ports.Agent = (*Agent)(nil)

// Open makes an Agent; it starts nothing. Folders are made under o.Dir.
func Open(o Options, r *relay.Relay) (*Agent, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Max == 0 {
		o.Max = fitting(freeMemory())
	}
	runner, err := process.New(process.Options{
		Command: []string{o.Command, "exec", "--input-format", "stream-jsonrpc", "--output-format", "stream-jsonrpc"},
		Limits: process.Limits{
			Concurrent: o.Max, QueueWait: time.Second, Line: 16 << 20, Output: 64 << 20, Idle: time.Hour, Total: time.Hour,
		},
	})
	if err != nil {
		return nil, err
	}
	return &Agent{o: o, relay: r, runner: runner, warm: newPool(o.Max, o.Idle)}, nil
}

// Tell has it told when a program starts and has ended. It comes before the first.
func (a *Agent) Tell(p ports.Programs) { a.runner.Tell(p) }

// Programs is how many processes work, and how many wait for their session's next turn.
func (a *Agent) Programs() (running, idle int) { return a.warm.count() }

// Stop ends all processes.
func (a *Agent) Stop(context.Context) error {
	a.warm.close()
	return nil
}

// Capabilities says that droid takes text only: it has neither sampling
// parameters nor a way to be offered the client's tools.
func (a *Agent) Capabilities() agent.Capabilities { return agent.Capabilities{Program: true} }

// Models says nothing: they are the provider's, and configured.
func (a *Agent) Models(context.Context) ([]agent.Model, error) { return nil, nil }

// Probe tells whether the program is there, without running it.
func (a *Agent) Probe(context.Context) error {
	if _, err := exec.LookPath(a.o.Command); err != nil {
		return fault.Wrap(fault.Unavailable, err, "The program droid is not installed.").WithCode("agent_unavailable").WithHint("Install it: npm install -g droid@" + Tested)
	}
	return nil
}

// Version asks the program for its version; it takes about a second.
func (a *Agent) Version(ctx context.Context) (got, tested string, err error) {
	out, err := exec.CommandContext(ctx, a.o.Command, "--version").Output()
	return strings.TrimSpace(string(out)), Tested, err
}

// Run answers the task in the session's process, which is started where there is
// none.
func (a *Agent) Run(ctx context.Context, task agent.Task) ports.Events {
	return func(yield func(chat.Event, error) bool) {
		if err := a.run(ctx, task, yield); err != nil {
			yield(chat.Event{}, err)
		}
	}
}

// mayAct refuses the tools to all organisations but the first: without a sandbox
// they could look at one another.
func (a *Agent) mayAct(org tenancy.OrgID) error {
	if len(a.o.Tools) == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.owner.IsZero() {
		a.owner = org
	}
	if a.owner == org {
		return nil
	}
	return fault.New(fault.Unavailable, "This agent has tools, and works for one organisation only.").WithCode("agent_unavailable").
		WithHint("The operator of this server must take the agent's tools away, or run a server for each organisation.")
}

// run makes one turn. Its error is yet to be yielded.
func (a *Agent) run(ctx context.Context, task agent.Task, yield func(chat.Event, error) bool) error {
	if ctx.Err() != nil {
		return refusal.Ended(ctx)
	}
	if err := a.mayAct(task.Caller.Org()); err != nil {
		return err
	}
	p, prompt, err := a.program(ctx, task)
	if err != nil {
		return err
	}
	t := turn{agent: a, program: p, task: task, yield: yield}
	if err := t.answer(ctx, prompt); err != nil || !t.finished {
		// What its session holds now is not what we keep of it.
		p.discard()
		a.warm.leave()
		return err
	}
	a.warm.put(p)
	return nil
}

// program gives the session's process, ready for a turn, and what to say to it:
// what is new if it knows the rest, the whole transcript otherwise.
func (a *Agent) program(ctx context.Context, task agent.Task) (*program, string, error) {
	prior := task.Messages[:max(0, len(task.Messages)-task.Session.New)]
	id := owner{task.Caller, task.Session.ID}
	if p := a.warm.take(id); p != nil {
		if p.alive() && p.model == task.Model && p.native == task.Session.Native && p.seen == digest(prior) {
			return p, render(task.Messages[len(prior):]), nil
		}
		p.close()
		a.warm.leave()
	}
	p, err := a.start(ctx, id, task.Model)
	if err != nil {
		return nil, "", err
	}
	if task.Session.Native != "" && p.folder.knows(task.Session.Native, digest(prior)) {
		if err = p.load(ctx, task.Session.Native); err == nil {
			return p, render(task.Messages[len(prior):]), nil
		}
	}
	if err == nil || fault.Is(err, fault.NotFound) {
		p.folder.forget()
		err = p.begin(ctx)
	}
	if err != nil {
		p.discard()
		a.warm.leave()
		return nil, "", err
	}
	return p, render(task.Messages), nil
}
