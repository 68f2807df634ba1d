// Package openai is an agent behind OpenAI's chat completions: any upstream that
// speaks them. What needs no change is passed on as bytes, in both directions.
package openai

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// Options configures an Agent.
type Options struct {
	BaseURL string            `yaml:"base_url" doc:"where the upstream's API begins, such as https://api.openai.com/v1"`
	APIKey  string            `yaml:"api_key" secret:"true" doc:"the upstream's key, sent as a bearer token; none sends none"`
	Headers map[string]string `yaml:"headers" secret:"true" doc:"more headers of every request, such as HTTP-Referer for OpenRouter"`
	Conns   int               `yaml:"conns" doc:"idle connections that are kept"`
}

// SetDefaults fills in what a configuration may leave out.
func (o *Options) SetDefaults() { o.Conns = 512 }

// Validate refuses options that cannot work.
func (o *Options) Validate() error {
	u, err := url.Parse(o.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return fault.Invalidf("base_url", "invalid_value", "base_url: %q must be http:// or https:// with a host, such as https://api.openai.com/v1", withoutPassword(o.BaseURL))
	}
	for name, value := range o.Headers {
		if strings.ContainsAny(name+value, "\r\n") || name == "" || strings.Contains(name, ":") {
			return fault.Invalidf("headers", "invalid_value", "headers: %q is no header", name)
		}
	}
	if strings.ContainsAny(o.APIKey, "\r\n") {
		return fault.Invalidf("api_key", "invalid_value", "api_key: it has a line break in it")
	}
	if o.Conns < 1 {
		return fault.Invalidf("conns", "out_of_range", "conns: must be at least 1")
	}
	return nil
}

// Agent is a ports.Agent. Stop closes its idle connections.
type Agent struct {
	pool *pool
	base *url.URL
	head string              // the headers that every request has, the key's included
	hide func(string) string // takes what is secret out of the upstream's words
}

// String names the agent without its secrets, however it is printed.
func (a *Agent) String() string { return "openai(" + a.base.Host + ")" }

// GoString is String.
func (a *Agent) GoString() string { return a.String() }

// String gives the options without their secrets, however they are printed.
func (o Options) String() string { return "openai options for " + withoutPassword(o.BaseURL) }

// GoString is String.
func (o Options) GoString() string { return o.String() }

// withoutPassword hides what may be a password in a URL, one that cannot be
// parsed included.
func withoutPassword(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = "…" + rest[i:]
	}
	if ok {
		return scheme + "://" + rest
	}
	return rest
}

var _ ports.Agent = (*Agent)(nil)

// Open makes an Agent; it dials nothing.
func Open(o Options) (*Agent, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	u, err := url.Parse(strings.TrimSuffix(o.BaseURL, "/"))
	if err != nil {
		return nil, fault.Invalidf("base_url", "invalid_value", "base_url: it is no URL")
	}
	a := &Agent{pool: newPool(u, o.Conns), base: u}
	var head strings.Builder
	head.WriteString("Host: " + u.Host + "\r\n")
	var secrets []string
	hide := func(s string) {
		const shortest = 4 // less is in every text
		if len(s) >= shortest {
			secrets = append(secrets, s, "[hidden]")
		}
	}
	if o.APIKey != "" && o.APIKey != "none" {
		hide(o.APIKey)
		head.WriteString("Authorization: Bearer " + o.APIKey + "\r\n")
	}
	for name, value := range o.Headers {
		head.WriteString(name + ": " + value + "\r\n")
		hide(value)
	}
	a.head, a.hide = head.String(), strings.NewReplacer(secrets...).Replace
	return a, nil
}

// Stop closes idle connections.
func (a *Agent) Stop(context.Context) error {
	a.pool.close()
	return nil
}

// Capabilities says that the upstream decides: everything is passed on.
func (a *Agent) Capabilities() agent.Capabilities {
	return agent.Capabilities{Raw: true, Tools: true, Choices: true, Media: true, Schema: true, MaxTokens: true}
}

// Notes tells of an address that is most likely not meant.
func (a *Agent) Notes() []string {
	if a.base.Path == "" {
		return []string{"base_url has no path, and most end in /v1"}
	}
	return nil
}

// Server is the host that is asked, and its port.
func (a *Agent) Server() (host string, port int) {
	port = 443
	if a.base.Scheme == "http" {
		port = 80
	}
	if n, err := strconv.Atoi(a.base.Port()); err == nil {
		port = n
	}
	return a.base.Hostname(), port
}

// Models asks the upstream for its models. One that has no list says nothing.
func (a *Agent) Models(ctx context.Context) (out []agent.Model, err error) {
	body, err := a.get(ctx, "/models")
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if f := fault.As(err); f != nil && !f.Kind.Retryable() && f.Kind != fault.Canceled {
		return nil, fault.Wrap(fault.Upstream, err, "The agent's upstream does not list its models.").WithCode("upstream_error")
	}
	if err != nil {
		return nil, err
	}
	return parseModels(body)
}

// Probe asks for the models, which costs nothing. An upstream that has no list
// of them is there all the same.
func (a *Agent) Probe(ctx context.Context) error {
	_, err := a.get(ctx, "/models")
	if err == nil || fault.Is(err, fault.NotFound) || fault.Is(err, fault.RateLimited) {
		return nil
	}
	f := fault.As(err)
	if f.Kind == fault.Unavailable {
		return f
	}
	return fault.Wrap(fault.Unavailable, err, "%s", f.Message).WithCode("agent_unavailable").WithHint(f.Hint)
}

// maxBody bounds a whole answer, and maxLine one event of a stream.
const (
	maxBody  = 64 << 20
	maxLine  = 16 << 20
	getLimit = 10 * time.Second
)

// Run answers the task.
func (a *Agent) Run(ctx context.Context, task agent.Task) ports.Events {
	if task.Request.Stream {
		return a.stream(ctx, task)
	}
	return a.whole(ctx, task)
}
