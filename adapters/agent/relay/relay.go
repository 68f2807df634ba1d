// Package relay stands between agents' programs and their model providers: a
// listener on loopback that passes their calls on to one fixed upstream each,
// with the provider's key, which no program ever holds.
//
// A program has a Pass, whose random token is worth nothing anywhere else. Calls
// are taken only while a Run is under way under the pass, and end with it, so a
// program that does not end its calls is made to. What the calls used and how
// they failed is the Run's to tell, whatever the program says.
package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"agentapi/domain/fault"
)

// API is a dialect of model APIs.
type API string

// The dialects that are passed on.
const (
	OpenAI    API = "openai"    // POST /chat/completions
	Anthropic API = "anthropic" // POST /v1/messages
)

// Provider is an upstream.
type Provider struct {
	API     API               `yaml:"api" doc:"what it speaks: openai (chat completions) or anthropic (messages)"`
	BaseURL string            `yaml:"base_url" doc:"where its API begins: https://openrouter.ai/api/v1, or https://api.anthropic.com"`
	APIKey  string            `yaml:"api_key" secret:"true" doc:"its key, which the agent's program never sees; none sends none"`
	Headers map[string]string `yaml:"headers" secret:"true" doc:"more headers of every request"`
}

// Validate refuses what cannot work. An empty API means OpenAI.
func (p *Provider) Validate() error {
	if p.API == "" {
		p.API = OpenAI
	}
	if p.API != OpenAI && p.API != Anthropic {
		return fault.Invalidf("api", "invalid_value", "api: %q is neither openai nor anthropic", p.API)
	}
	u, err := url.Parse(p.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return fault.Invalidf("base_url", "invalid_value", "base_url: it must be http:// or https:// with a host, such as https://openrouter.ai/api/v1")
	}
	for name, value := range p.Headers {
		if name == "" || strings.ContainsAny(name, ":\r\n") || strings.ContainsAny(value, "\r\n") {
			return fault.Invalidf("headers", "invalid_value", "headers: %q is no header", name)
		}
	}
	if strings.ContainsAny(p.APIKey, "\r\n") {
		return fault.Invalidf("api_key", "invalid_value", "api_key: it has a line break in it")
	}
	return nil
}

// path is where calls go, after the base URL.
func (p *Provider) path() string {
	if p.API == Anthropic {
		return "/v1/messages"
	}
	return "/chat/completions"
}

// Relay is the listener. It is safe for concurrent use; it listens from the first
// Pass on, until Stop.
type Relay struct {
	client *http.Client

	mu     sync.Mutex
	server *http.Server
	addr   string
	served chan struct{}
	passes map[string]*Pass // by token
}

// New makes a Relay; it listens when it is needed.
func New() *Relay {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true // bytes are passed on as they are
	t.MaxIdleConnsPerHost = 64
	return &Relay{passes: make(map[string]*Pass), client: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Stop ends the listener and every call.
func (r *Relay) Stop(context.Context) error {
	r.mu.Lock()
	server, served := r.server, r.served
	passes := maps.Clone(r.passes)
	r.mu.Unlock()
	for _, p := range passes {
		p.Close()
	}
	if server == nil {
		return nil
	}
	err := server.Close()
	<-served
	r.client.CloseIdleConnections()
	return err
}

// Open gives a new pass to the provider. fault.Unavailable: the relay cannot listen.
func (r *Relay) Open(to Provider) (*Pass, error) {
	if err := to.Validate(); err != nil {
		return nil, err
	}
	to.BaseURL = strings.TrimSuffix(to.BaseURL, "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.server == nil {
		if err := r.listen(); err != nil {
			return nil, fault.Wrap(fault.Unavailable, err, "The agents' relay cannot listen on loopback.").WithCode("agent_unavailable")
		}
	}
	p := &Pass{relay: r, to: to, token: strings.ToLower(rand.Text()), runs: make(map[string]*Run)}
	r.passes[p.token] = p
	return p, nil
}

func (r *Relay) listen() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.addr, r.served = l.Addr().String(), make(chan struct{})
	r.server = &http.Server{Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(r.served)
		if err := r.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // a listener that fails is no state to go on in
		}
	}()
	return nil
}

// pass finds who calls.
func (r *Relay) pass(req *http.Request) *Pass {
	token := req.Header.Get("X-Api-Key")
	if bearer, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); ok {
		token = bearer
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passes[token]
}

// Passes is how many are open.
func (r *Relay) Passes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.passes)
}
