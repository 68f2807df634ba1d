package ccr_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"agentapi/adapters/agent/ccr"
	"agentapi/adapters/agent/relay"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
	"agentapi/ports/porttest"
	"agentapi/test/kit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "sk-provider-key-that-no-child-may-see"

// open makes an agent whose own, real gateway routes to the provider in both
// dialects: model "m" in OpenAI's, "a" in Anthropic's.
func open(t *testing.T, p *kit.Provider) *ccr.Agent {
	t.Helper()
	var o ccr.Options
	o.SetDefaults()
	o.Command = kit.CCRProgram(t)
	o.Providers = []ccr.Provider{
		{Name: "up", Provider: relay.Provider{BaseURL: p.URL + "/v1", APIKey: key}, Models: []string{"m"}},
		{Name: "anthropic", Provider: relay.Provider{API: relay.Anthropic, BaseURL: p.URL, APIKey: key}, Models: []string{"a"}},
	}
	r := relay.New()
	a, err := ccr.Open(o, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if n := r.Passes(); n > 0 {
			t.Errorf("%d tokens of the relay are left", n)
		}
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a
}

func task(model, text string, change ...func(*chat.Request)) agent.Task {
	r := &chat.Request{Model: model, N: 1, Stream: true, Messages: []chat.Message{chat.NewMessage(chat.User, text)}}
	for _, c := range change {
		c(r)
	}
	return agent.Task{Model: model, Request: r, Messages: r.Messages, Session: agent.Session{ID: "sess_x", New: 1}}
}

func collect(t *testing.T, ctx context.Context, a ports.Agent, task agent.Task) (chat.Completion, error) {
	t.Helper()
	var fold chat.Assembler
	for e, err := range a.Run(ctx, task) {
		if err != nil {
			return fold.Completion(), err
		}
		if err := fold.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	return fold.Completion(), nil
}

func text(c chat.Completion) string {
	if len(c.Choices) == 0 {
		return ""
	}
	return c.Choices[0].Message.Text()
}

// saying has every run of the suite say mode.
type saying struct {
	*ccr.Agent
	mode string
}

func (a saying) Run(ctx context.Context, t agent.Task) ports.Events {
	if a.mode != "" {
		t.Messages = []chat.Message{chat.NewMessage(chat.User, a.mode)}
	}
	return a.Agent.Run(ctx, t)
}

func TestTheDriverKeepsThePortsContract(t *testing.T) {
	p := kit.NewProvider(t)
	mode := func(m string) func(*testing.T) ports.Agent {
		return func(t *testing.T) ports.Agent {
			a := open(t, p)
			if _, err := collect(t, t.Context(), a, task("m", "warm up")); err != nil {
				t.Fatal(err)
			}
			return saying{a, m}
		}
	}
	for _, model := range []string{"m", "a"} {
		t.Run(model, func(t *testing.T) {
			porttest.Agent(t, porttest.AgentBench{
				Answering: mode(""), FailingAtStart: mode("fail 500"), DyingMidway: mode("cut"),
				Stalling: mode("hang"), StallingMidway: mode("half"), Flooding: nil, // only time bounds an upstream's flood: the guard's
				Model: model, Echoes: true,
			})
		})
	}
}

func TestUsageIsTheProvidersToTheToken(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	for _, model := range []string{"m", "a", "up,m", "anthropic,a"} {
		before := p.Used()
		got, err := collect(t, t.Context(), a, task(model, "hello there"))
		if err != nil || text(got) != "hello there" {
			t.Fatalf("%s: %q, %v", model, text(got), err)
		}
		after := p.Used()
		if u := got.Usage; !got.Counted || u.Prompt != after.Prompt-before.Prompt || u.Completion != after.Completion-before.Completion || u.Cached != after.Cached-before.Cached {
			t.Errorf("%s: used %+v, counted %+v", model, u, after)
		}
		last := p.Calls()[len(p.Calls())-1]
		if strings.Contains(last.Body, "~") {
			t.Errorf("the provider sees the run's mark: %s", last.Body)
		}
		if last.Header.Get("Authorization") != "Bearer "+key && last.Header.Get("X-Api-Key") != key {
			t.Error("the provider's key is not sent")
		}
	}
}

func TestToolsGoBothWays(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	tools := func(r *chat.Request) {
		r.Tools = []chat.ToolSpec{{Name: "weather", Description: "tells it", Parameters: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"}}}`)}}
	}
	for _, model := range []string{"m", "a"} {
		got, err := collect(t, t.Context(), a, task(model, `use weather {"city":"Rome"}`, tools))
		if err != nil || len(got.Choices) != 1 || len(got.Choices[0].Message.ToolCalls) != 1 || got.Choices[0].Finish != chat.ToolCalls {
			t.Fatalf("%s: %+v, %v", model, got, err)
		}
		call := got.Choices[0].Message.ToolCalls[0]
		if call.Name != "weather" || call.Arguments != `{"city":"Rome"}` {
			t.Errorf("%s: %+v", model, call)
		}
		second := task(model, "", tools)
		second.Messages = []chat.Message{
			chat.NewMessage(chat.System, "be brief"), chat.NewMessage(chat.User, "weather?"),
			{Role: chat.Assistant, ToolCalls: []chat.ToolCall{call}}, {Role: chat.Tool, ToolCallID: call.ID, Parts: []chat.Part{{Kind: chat.TextPart, Text: "sunny in Rome"}}},
		}
		got, err = collect(t, t.Context(), a, second)
		if err != nil || !strings.Contains(text(got), "sunny in Rome") {
			t.Errorf("%s: %q, %v", model, text(got), err)
		}
		if last := p.Calls()[len(p.Calls())-1]; !strings.Contains(last.Body, "be brief") {
			t.Errorf("%s: the instructions are lost: %s", model, last.Body)
		}
	}
}

func TestWhatTheProviderSaysIsSaidAndNothingElse(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	for prompt, want := range map[string]fault.Kind{
		"fail 400": fault.Invalid, "fail 401": fault.Upstream, "fail 429": fault.RateLimited, "fail 500": fault.Upstream, "fail 503": fault.Unavailable,
		"reset": fault.Upstream, "cut": fault.Upstream,
	} {
		for _, model := range []string{"m", "a"} {
			_, err := collect(t, t.Context(), a, task(model, prompt))
			f := fault.As(err)
			if f == nil || f.Kind != want {
				t.Errorf("%s %s: %v", model, prompt, err)
				continue
			}
			if f.Kind == fault.RateLimited && f.RetryAfter != 7*time.Second {
				t.Errorf("%s: retry after %v", prompt, f.RetryAfter)
			}
			if strings.Contains(err.Error(), "cli.js") || strings.Contains(f.Message, "provider(") {
				t.Errorf("%s: it shows the gateway's inside: %v", prompt, err)
			}
			if prompt == "fail 400" && f.Message != "the provider says 400" {
				t.Errorf("the provider's words are lost: %q", f.Message)
			}
		}
	}
}

func TestALeftCallEndsAtTheProvider(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	for _, model := range []string{"m", "a"} {
		for e, err := range a.Run(t.Context(), task(model, "half")) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == chat.Text {
				break
			}
		}
		if !kit.Soon(time.Second, func() bool { return p.Open() == 0 }) {
			t.Errorf("%s: the provider's call goes on", model)
		}
	}
}

func gateway(t *testing.T) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, proc := range all {
		env, _ := os.ReadFile(filepath.Join(proc, "environ")) // what is gone or another's says nothing
		if strings.Contains(string(env), "AGENTAPI_RUN="+fmt.Sprint(os.Getpid())+".") {
			var pid int
			fmt.Sscan(filepath.Base(proc), &pid)
			pids = append(pids, pid)
			args, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
			if strings.Contains(string(env)+string(args), key) {
				t.Errorf("%s holds the key", proc)
			}
			home := ""
			for _, v := range strings.Split(string(env), "\x00") {
				home, _ = strings.CutPrefix(v, "HOME=")
				if home != v && home != "" {
					break
				}
			}
			config, err := os.ReadFile(filepath.Join(home, ".claude-code-router", "config.json"))
			if err != nil || strings.Contains(string(config), key) || !strings.Contains(string(config), `"LOG":false`) {
				t.Errorf("the configuration: %v\n%s", err, config)
			}
		}
	}
	return pids
}

func TestAGatewayThatDiesIsReplaced(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	if _, err := collect(t, t.Context(), a, task("m", "hello")); err != nil {
		t.Fatal(err)
	}
	pids := gateway(t)
	if len(pids) != 1 {
		t.Fatalf("the gateway's processes: %v", pids)
	}
	began := time.Now()
	for e, err := range a.Run(t.Context(), task("m", "half")) {
		if e.Kind == chat.Text {
			if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil && fault.KindOf(err) != fault.Upstream {
			t.Errorf("got %v", err)
		}
	}
	_, err := collect(t, t.Context(), a, task("m", "hello"))
	if !fault.Is(err, fault.Unavailable) && err != nil {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a dead gateway held its callers up for %v", took)
	}
	if !kit.Soon(20*time.Second, func() bool { _, err := collect(t, t.Context(), a, task("m", "hello")); return err == nil }) {
		t.Error("it is not started again")
	}
}

// foreign starts a real gateway that is not ours, with a provider's key of its own.
func foreign(t *testing.T, p *kit.Provider, apiKey string) (base string) {
	t.Helper()
	home, port := t.TempDir(), kit.FreePort(t)
	dir := filepath.Join(home, ".claude-code-router")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`{"LOG":false,"HOST":"127.0.0.1","PORT":%d,"APIKEY":%q,"Router":{"default":"up,m"},
		"Providers":[{"name":"up","api_base_url":%q,"api_key":%q,"models":["m"],"transformer":{"use":["openrouter"]}}]}`, port, apiKey, p.URL+"/v1/chat/completions", key)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(kit.CCRProgram(t), "start")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	base = fmt.Sprintf("http://127.0.0.1:%d", port)
	if !kit.Soon(20*time.Second, func() bool {
		resp, err := http.Get(base + "/health")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	}) {
		t.Fatal("the foreign gateway does not become ready")
	}
	http.DefaultClient.CloseIdleConnections()
	return base
}

func TestAForeignGatewayServesAsWell(t *testing.T) {
	p := kit.NewProvider(t)
	var o ccr.Options
	o.SetDefaults()
	o.URL = foreign(t, p, "the-gateways-own-key")
	use := func(apiKey, prompt string) (chat.Completion, error) {
		o.APIKey = apiKey
		a, err := ccr.Open(o, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Stop(context.Background()) }() // it has nothing to stop but connections
		if err := a.Probe(t.Context()); err != nil {
			t.Error(err)
		}
		return collect(t, t.Context(), a, task("up,m", prompt))
	}
	if got, err := use("the-gateways-own-key", "hello"); err != nil || text(got) != "hello" {
		t.Errorf("got %q, %v", text(got), err)
	}
	for prompt, want := range map[string]fault.Kind{"fail 429": fault.RateLimited, "fail 400": fault.Invalid, "fail 500": fault.Upstream} {
		_, err := use("the-gateways-own-key", prompt)
		if f := fault.As(err); f == nil || f.Kind != want || strings.Contains(err.Error(), "cli.js") {
			t.Errorf("%s: %v", prompt, err)
		}
	}
	if _, err := use("wrong", "hello"); !fault.Is(err, fault.Upstream) {
		t.Errorf("with a wrong key: %v", err)
	}
}

func TestTextThatWouldHoldTheGatewayUpIsRefused(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	began := time.Now()
	_, err := collect(t, t.Context(), a, task("m", strings.Repeat("x", 300<<10)))
	if !fault.Is(err, fault.Unsupported) || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	long := kit.Long(300 << 10)
	if got, err := collect(t, t.Context(), a, task("m", long)); err != nil || text(got) != long {
		t.Errorf("an ordinary text of 300 KB: %d, %v", len(text(got)), err)
	}
	if got, err := collect(t, t.Context(), a, task("m", "long")); err != nil || len(text(got)) != 200<<10 {
		t.Errorf("a line of 200 KB: %d, %v", len(text(got)), err)
	}
}

func TestAPromptArrivesAsItIs(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	for _, prompt := range []string{"$(touch /tmp/agentapi-pwned) `id`", "--help", "@/etc/hostname", "-p", "\x1b]52;c;ZXZpbA==\x07", "data: [DONE]\n\ndata: x"} {
		if got, err := collect(t, t.Context(), a, task("m", prompt)); err != nil || text(got) != prompt {
			t.Errorf("%q arrived as %q, %v", prompt, text(got), err)
		}
	}
}
