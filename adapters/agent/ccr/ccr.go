// Package ccr is claude-code-router as an agent: a gateway that is spoken to in
// Anthropic's messages, the one dialect that all of its generations speak. It
// supervises a gateway of its own, whose providers are reached through the
// relay, or uses one that runs.
//
// It never runs `ccr code`, which hands a prompt to a shell.
package ccr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"agentapi/adapters/agent/process"
	"agentapi/adapters/agent/relay"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Tested is the version whose contract the tests hold.
const Tested = "2.0.0"

// Options configures an Agent: with URL it uses a gateway that runs, else it
// supervises one of its own for Providers.
type Options struct {
	Command   string     `yaml:"command" doc:"the program; CCROUTER_PATH"`
	Providers []Provider `yaml:"providers" doc:"what the supervised gateway routes to; the first is the default"`
	MaxTokens int        `yaml:"max_tokens" doc:"tokens of an answer whose request does not bound them; the dialect demands a number"`

	URL    string   `yaml:"url" doc:"a gateway that runs, in place of one of our own: http://127.0.0.1:3456"`
	APIKey string   `yaml:"api_key" secret:"true" doc:"its APIKEY"`
	Models []string `yaml:"models" doc:"its models, as provider,model"`
}

// Provider is one of ccr's providers.
type Provider struct {
	Name           string `yaml:"name" doc:"its name before the comma in provider,model"`
	relay.Provider `yaml:",inline"`
	Models         []string `yaml:"models" doc:"its models"`
	Transformers   []string `yaml:"transformers" doc:"ccr's transformers for it; openrouter for openai, Anthropic for anthropic where empty"`
	// Vertex is served natively: ccr's own streaming from it is broken.
	Vertex *Vertex `yaml:"vertex" doc:"a Vertex AI provider, in place of base_url; its models are served natively, past ccr"`
}

// Vertex is where a Vertex AI provider is.
type Vertex struct {
	Project     string `yaml:"project" doc:"the Google Cloud project; VERTEX_AI_PROJECT_ID, or the credentials' own"`
	Location    string `yaml:"location" doc:"its location; VERTEX_AI_LOCATION"`
	BaseURL     string `yaml:"base_url" doc:"the API's host, if not Google's"`
	Credentials string `yaml:"credentials" doc:"a file with credentials; Google's application default credentials if empty"`
}

// SetDefaults fills in what a configuration may leave out.
func (o *Options) SetDefaults() { o.Command, o.MaxTokens = "ccr", 16384 }

// Validate refuses what cannot work: above all a gateway without a provider,
// which would listen on every address and ask for no key.
func (o *Options) Validate() error {
	if o.MaxTokens < 1 {
		return fault.Invalidf("max_tokens", "out_of_range", "max_tokens: it must be positive")
	}
	if o.URL != "" {
		u, err := url.Parse(o.URL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
			return fault.Invalidf("url", "invalid_value", "url: it must be where a gateway listens, such as http://127.0.0.1:3456")
		}
		if len(o.Providers) > 0 {
			return fault.Invalidf("providers", "invalid_value", "providers: a gateway that runs has its own; give url or providers")
		}
		return nil
	}
	if len(o.Providers) == 0 {
		return fault.Invalidf("providers", "missing_required_parameter", "providers: name at least one, or the url of a gateway that runs")
	}
	names := map[string]bool{}
	for i := range o.Providers {
		p := &o.Providers[i]
		at := fmt.Sprintf("providers[%d]", i)
		if p.Name == "" || strings.ContainsAny(p.Name, ", \t\n") || names[p.Name] {
			return fault.Invalidf(at+".name", "invalid_value", "%s.name: %q must be there, without comma or blank, and once", at, p.Name)
		}
		names[p.Name] = true
		if len(p.Models) == 0 {
			return fault.Invalidf(at+".models", "missing_required_parameter", "%s.models: name at least one", at)
		}
		if p.Vertex != nil {
			continue
		}
		if err := p.Provider.Validate(); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
	}
	return nil
}

// String gives the options without their secrets, however they are printed.
func (o Options) String() string { return "ccr options" }

// GoString is String.
func (o Options) GoString() string { return o.String() }

// Agent is a ports.Agent. Its gateway is started with the first task, and ended by
// Stop.
type Agent struct {
	o      Options
	client *http.Client
	relay  *relay.Relay
	own    *router // nil: a foreign gateway is used
	slots  chan struct{}
	native map[string]ports.Agent // by the provider's name: those that are served past ccr
}

var _ ports.Agent = (*Agent)(nil)

// Open makes an Agent; it starts nothing. vertex opens what serves a provider on
// Vertex AI.
func Open(o Options, r *relay.Relay, vertex func(Vertex) (ports.Agent, error)) (*Agent, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression, t.MaxIdleConnsPerHost = true, 64
	a := &Agent{o: o, client: &http.Client{Transport: t}, relay: r, slots: make(chan struct{}, foreignSlots), native: map[string]ports.Agent{}}
	routed := 0
	for i := range o.Providers {
		p := &o.Providers[i]
		if p.Vertex == nil {
			routed++
			continue
		}
		native, err := vertex(*p.Vertex)
		if err != nil {
			return nil, err
		}
		a.native[p.Name] = native
	}
	if o.URL == "" && routed > 0 {
		runner, err := process.New(process.Options{Command: []string{o.Command, "start"}, Limits: process.Limits{
			Concurrent: 1, QueueWait: 5 * time.Second, Line: 1 << 20, Output: 1 << 40, Idle: time.Hour, Total: time.Hour,
		}})
		if err != nil {
			return nil, err
		}
		a.own = newRouter(a, runner)
	}
	return a, nil
}

// Tell has it told when its gateway starts and has ended. It comes before the first.
func (a *Agent) Tell(p ports.Programs) {
	if a.own != nil {
		a.own.runner.Tell(p)
	}
}

// Programs is how many gateways of its own run; none waits.
func (a *Agent) Programs() (running, idle int) {
	if a.own == nil {
		return 0, 0
	}
	return a.own.runner.Running(), 0
}

// Stop ends the gateway.
func (a *Agent) Stop(context.Context) error {
	if a.own != nil {
		a.own.stop()
	}
	a.client.CloseIdleConnections()
	return nil
}

// Capabilities says what can be said in Anthropic's messages.
func (a *Agent) Capabilities() agent.Capabilities {
	return agent.Capabilities{Tools: true, Media: true, MaxTokens: true, Sampling: "temperature top_p parallel_tool_calls"}
}

// Models gives those that are configured, by their own ids; provider,model is
// taken as well.
func (a *Agent) Models(context.Context) (out []agent.Model, err error) {
	seen := map[string]bool{}
	add := func(id string) {
		if !seen[id] {
			seen[id] = true
			out = append(out, agent.Model{ID: id, OwnedBy: "ccr"})
		}
	}
	for _, m := range a.o.Models {
		add(m)
	}
	for _, p := range a.o.Providers {
		for _, m := range p.Models {
			add(m)
		}
		add(p.Name + ",*")
	}
	return out, nil
}

// find gives the provider that serves a model, and the model's own id there. A
// foreign gateway finds it itself.
func (a *Agent) find(model string) (*Provider, string, error) {
	if a.o.URL != "" {
		return nil, model, nil
	}
	name, rest, named := strings.Cut(model, ",")
	for i := range a.o.Providers {
		p := &a.o.Providers[i]
		if named && p.Name == name {
			return p, rest, nil
		}
		for _, m := range p.Models {
			if (agent.Model{ID: m}).Serves(model) {
				return p, model, nil
			}
		}
	}
	return nil, "", fault.New(fault.NotFound, "The agent has no model %q.", model).WithCode("model_not_found")
}

// Probe asks the gateway for its health, which calls no model.
func (a *Agent) Probe(ctx context.Context) error {
	for _, n := range a.native {
		if err := n.Probe(ctx); err != nil && a.own == nil {
			return err
		}
	}
	switch {
	case a.own != nil && !a.own.running():
		if _, err := exec.LookPath(a.o.Command); err != nil {
			return fault.Wrap(fault.Unavailable, err, "The program ccr is not installed.").WithCode("agent_unavailable").
				WithHint("Install it: npm install -g @musistudio/claude-code-router@" + Tested)
		}
		return nil
	case a.own != nil:
		_, err := a.own.endpoint(ctx)
		return err
	case a.o.URL == "":
		return nil // all is served natively
	}
	if err := a.healthy(ctx, a.o.URL); err != nil {
		return fault.Wrap(fault.Unavailable, err, "No ccr answers at its url.").WithCode("agent_unavailable").WithHint("Start it with: ccr start")
	}
	return nil
}

func (a *Agent) healthy(ctx context.Context, base string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/health", nil)
	if err != nil {
		return err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// Notes says what an operator should know of how models are served.
func (a *Agent) Notes() (out []string) {
	for _, p := range a.o.Providers {
		if p.Vertex != nil {
			out = append(out, "the models of "+p.Name+" are served natively: ccr's own streaming from Vertex AI is broken")
		}
	}
	return out
}

// Version asks the program for its version.
func (a *Agent) Version(ctx context.Context) (got, tested string, err error) {
	if a.own == nil {
		return "", "", nil
	}
	out, err := exec.CommandContext(ctx, a.o.Command, "version").Output()
	_, got, _ = strings.Cut(strings.TrimSpace(string(out)), "version: ")
	return got, Tested, err
}

// Run answers the task through the gateway.
func (a *Agent) Run(ctx context.Context, task agent.Task) ports.Events {
	p, model, err := a.find(task.Model)
	if err == nil && p != nil && p.Vertex != nil {
		task.Model = model
		return a.native[p.Name].Run(ctx, task)
	}
	return func(yield func(chat.Event, error) bool) {
		if err == nil {
			err = a.run(ctx, task, p, model, yield)
		}
		if err != nil {
			yield(chat.Event{}, err)
		}
	}
}
