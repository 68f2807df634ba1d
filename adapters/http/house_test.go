package http_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"agentapi/adapters/agent/demo"
	cachemem "agentapi/adapters/cache/memory"
	web "agentapi/adapters/http"
	"agentapi/adapters/http/docs"
	"agentapi/adapters/storage/memory"
	"agentapi/application/access"
	"agentapi/application/admin"
	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/application/conversations"
	"agentapi/application/outage"
	"agentapi/application/vitals"
	"agentapi/configs"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, // the HTTP library has two goroutines that wake up to see that there is nothing to do
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

const token = "sk-agentapi-dev-test"

// doors knows two users' tokens.
type doors struct{}

func (doors) Authenticate(_ context.Context, bearer string) (tenancy.Identity, bool, error) {
	switch bearer {
	case token:
		return tenancy.Identity{Issuer: "dev", Subject: "ann", Org: "org", Role: tenancy.OrgMember}, true, nil
	case token + "-bob":
		return tenancy.Identity{Issuer: "dev", Subject: "bob", Org: "org", Role: tenancy.OrgMember}, true, nil
	}
	return tenancy.Identity{}, false, nil
}

// raw is an agent that takes whole requests, as one for OpenAI's dialect does.
// It answers with events that a test gives, or with the demo's.
type raw struct {
	ports.Agent
	mu  sync.Mutex
	run func(ctx context.Context, task agent.Task, yield func(chat.Event, error) bool)
}

func (r *raw) Capabilities() agent.Capabilities {
	return agent.Capabilities{Raw: true, Tools: true, Choices: true, Media: true, Schema: true, Sampling: "temperature top_p", MaxTokens: true}
}

func (r *raw) says(f func(ctx context.Context, task agent.Task, yield func(chat.Event, error) bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run = f
}

func (r *raw) Run(ctx context.Context, task agent.Task) ports.Events {
	r.mu.Lock()
	run := r.run
	r.mu.Unlock()
	if run == nil {
		task.Model = "echo"
		return r.Agent.Run(ctx, task)
	}
	return func(yield func(chat.Event, error) bool) { run(ctx, task, yield) }
}

// house is the real server, with everything in memory.
type house struct {
	*web.Server
	url  string
	raw  *raw
	logs *lines
	stop func() error
}

// lines keeps what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) Sync() error { return nil }

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t *testing.T, change ...func(*web.Params)) *house {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var so memory.Options
	so.SetDefaults()
	store, err := memory.Open(so)
	must(err)
	var co cachemem.Options
	co.SetDefaults()
	cache, err := cachemem.Open(co)
	must(err)
	var do demo.Options
	do.SetDefaults()
	do.Delay = 2 * time.Millisecond
	d, err := demo.Open(do)
	must(err)
	r := &raw{Agent: d}
	models, err := d.Models(t.Context())
	must(err)
	cat, err := catalog.New(catalog.Params{
		Cache: cache, Now: time.Now, Entries: []catalog.Entry{
			{Name: "demo", Agent: d, Models: models}, {Name: "raw", Agent: r, Models: []agent.Model{{ID: "echo-1"}, {ID: "vendor/m:free"}}},
		},
		Routing: catalog.Routing{Default: []agent.Name{"raw", "demo"}, Aliases: map[string][]agent.Candidate{"gpt-4o": {{Agent: "raw", Model: "echo-1"}, {Agent: "demo", Model: "echo"}}}},
	})
	must(err)
	comp := completion.New(completion.Params{
		Catalog: catalog.Begin(cat), Storage: store, Observer: ports.NopObserver{}, Now: time.Now, Random: func(b []byte) { rand.Read(b) }, Instance: "test",
	})
	must(comp.Start(t.Context()))
	h := &house{raw: r, logs: &lines{}}
	door := access.New(access.Params{Chain: []ports.Authenticator{doors{}}, Storage: store, Now: time.Now})
	p := web.Params{
		Options: web.Options{
			Addr: "127.0.0.1:0", AllowedHosts: []string{"127.0.0.1", "localhost"}, MaxBody: 1 << 20,
			Drain: 2 * time.Second, Heartbeat: 15 * time.Second, ReadTimeout: 30 * time.Second,
		},
		Access: door, Completer: comp, Catalog: catalog.Begin(cat),
		Admin:         admin.New(admin.Params{Storage: store, Access: door, Pepper: tenancy.Pepper("pepper"), Now: time.Now, Random: func(b []byte) { rand.Read(b) }, Instance: "test"}),
		Conversations: conversations.New(conversations.Params{Storage: store, Now: time.Now, Random: func(b []byte) { rand.Read(b) }, Instance: "test"}),
		Vitals:        vitals.New(vitals.Params{Storage: store, Catalog: catalog.Begin(cat), Observer: ports.NopObserver{}, Outages: outage.New(ports.NopObserver{}, time.Now), Limit: time.Second, Now: time.Now, Random: func([]byte) {}}),
		Log:           zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), h.logs, zap.DebugLevel)),
		Version:       "test",
		Description:   docs.Description{YAML: configs.OpenAPI(), JSON: configs.OpenAPIJSON, LLMs: configs.LLMs()},
	}
	for _, c := range change {
		c(&p)
	}
	h.Server = web.New(p)
	must(h.Start(t.Context()))
	h.url = "http://" + h.Addr().String()
	h.stop = sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := h.Stop(ctx)
		if serr := comp.Stop(ctx); err == nil {
			err = serr
		}
		return err
	})
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (h *house) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (h *house) chat(t *testing.T, body string, headers ...string) answer {
	t.Helper()
	return h.do(t, http.MethodPost, "/v1/chat/completions", body, headers...)
}

// dial opens a connection to write raw HTTP on.
func (h *house) dial(t *testing.T) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn), bufio.NewReader(c)
}

func ask(model, text string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"` + text + `"}]}`
}

func stream(model, text string) string {
	return `{"model":"` + model + `","stream":true,"messages":[{"role":"user","content":"` + text + `"}]}`
}
