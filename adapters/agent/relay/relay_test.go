package relay_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"agentapi/adapters/agent/relay"
	"agentapi/domain/fault"
	"agentapi/ports"
	"agentapi/test/kit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "sk-the-providers-key"

func open(t *testing.T, api relay.API, base string) (*relay.Relay, *relay.Pass) {
	t.Helper()
	r := relay.New()
	t.Cleanup(func() {
		if err := r.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	p, err := r.Open(relay.Provider{API: api, BaseURL: base, APIKey: key})
	if err != nil {
		t.Fatal(err)
	}
	return r, p
}

// call asks as a program would.
func call(t *testing.T, p *relay.Pass, token, body string) (int, string) {
	t.Helper()
	path := "/chat/completions"
	if !strings.HasSuffix(p.URL(), "/v1") {
		path = "/v1/messages"
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err.Error()
	}
	return resp.StatusCode, string(text)
}

func ask(model, text string) string {
	return `{"model":"` + model + `","stream":true,"messages":[{"role":"user","content":"` + text + `"}]}`
}

func TestOnlyARunsOwnCallsArePassedOn(t *testing.T) {
	up := kit.NewProvider(t)
	r, p := open(t, relay.OpenAI, up.URL+"/v1")
	if status, _ := call(t, p, "wrong", ask("m", "hi")); status != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d", status)
	}
	if status, _ := call(t, p, p.Token(), ask("m", "hi")); status != http.StatusForbidden {
		t.Errorf("without a run: %d", status)
	}
	run := p.Begin(t.Context())
	status, text := call(t, p, p.Token(), ask(run.Model("vendor/m:free"), "hi"))
	if status != http.StatusOK || !strings.Contains(text, "hi") || strings.Contains(text, key) {
		t.Fatalf("got %d %s", status, text)
	}
	seen := up.Calls()[0]
	if !strings.Contains(seen.Body, `"model":"vendor/m:free"`) || seen.Header.Get("Authorization") != "Bearer "+key {
		t.Errorf("the provider saw %s with %s", seen.Body, seen.Header.Get("Authorization"))
	}
	if u, ok := run.Usage(); !ok || u.Prompt != 111 || u.Completion != 22 || u.Cached != 10 {
		t.Errorf("used %+v, %v", u, ok)
	}
	run.End()
	if status, _ := call(t, p, p.Token(), ask("m", "hi")); status != http.StatusForbidden {
		t.Errorf("after the run: %d", status)
	}
	p.Close()
	if status, _ := call(t, p, p.Token(), ask("m", "hi")); status != http.StatusUnauthorized || r.Passes() != 0 {
		t.Errorf("after the pass: %d, %d passes", status, r.Passes())
	}
}

func TestRunsAtOnceAreKeptApart(t *testing.T) {
	up := kit.NewProvider(t)
	_, p := open(t, relay.Anthropic, up.URL)
	one, two := p.Begin(t.Context()), p.Begin(t.Context())
	defer one.End()
	defer two.End()
	call(t, p, p.Token(), ask(one.Model("m"), "fail 429"))
	if status, text := call(t, p, p.Token(), ask(two.Model("m"), "hello")); status != http.StatusOK {
		t.Fatalf("got %d %s", status, text)
	}
	if f := one.Err(); f == nil || f.Kind != fault.RateLimited || f.RetryAfter != 7*time.Second {
		t.Errorf("the first failed with %v", f)
	}
	if f := two.Err(); f != nil {
		t.Errorf("the second failed with %v", f)
	}
	if u, ok := two.Usage(); !ok || u.Prompt != 111 || u.Completion != 22 || u.Cached != 10 {
		t.Errorf("used %+v, %v", u, ok)
	}
}

func TestFailuresAreFinalToTheProgram(t *testing.T) {
	up := kit.NewProvider(t)
	_, p := open(t, relay.OpenAI, up.URL+"/v1")
	for prompt, want := range map[string]fault.Kind{
		"fail 500": fault.Upstream, "fail 429": fault.RateLimited, "fail 503": fault.Unavailable, "reset": fault.Upstream,
	} {
		run := p.Begin(t.Context())
		if status, _ := call(t, p, p.Token(), ask("m", prompt)); status != http.StatusBadRequest {
			t.Errorf("%s: the program gets %d, which it may try again", prompt, status)
		}
		if fault.KindOf(run.Err()) != want {
			t.Errorf("%s: %v", prompt, run.Err())
		}
		run.End()
	}
	run := p.Begin(t.Context())
	defer run.End()
	if status, _ := call(t, p, p.Token(), ask("m", "cut")); status != http.StatusOK || fault.KindOf(run.Err()) != fault.Upstream {
		t.Errorf("an answer that was cut off: %d, %v", status, run.Err())
	}
	if _, known := run.Usage(); known {
		t.Error("what was cut off has a usage")
	}
}

func TestTheEndOfARunEndsItsCalls(t *testing.T) {
	up := kit.NewProvider(t)
	_, p := open(t, relay.OpenAI, up.URL+"/v1")
	ctx, cancel := context.WithCancel(t.Context())
	run := p.Begin(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		call(t, p, p.Token(), ask("m", "half"))
	}()
	if !kit.Soon(5*time.Second, func() bool { return up.Open() == 1 }) {
		t.Fatal("the provider was not asked")
	}
	cancel()
	run.End()
	if !kit.Soon(time.Second, func() bool { return up.Open() == 0 }) {
		t.Error("the provider's call goes on")
	}
	<-done
}

func TestOnlyTheOneRouteIsServed(t *testing.T) {
	up := kit.NewProvider(t)
	_, p := open(t, relay.OpenAI, up.URL+"/v1")
	run := p.Begin(t.Context())
	defer run.End()
	for _, body := range []string{"", "[]", `{"messages":[]}`, `{"model":7}`, strings.Repeat(" ", 1000)} {
		if status, _ := call(t, p, p.Token(), body); status != http.StatusBadRequest {
			t.Errorf("%.20q: %d", body, status)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/models", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.Token())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("another route: %d", resp.StatusCode)
	}
}

func TestACallBelongsToTheTraceOfItsRun(t *testing.T) {
	up := kit.NewProvider(t)
	_, p := open(t, relay.OpenAI, up.URL+"/v1")
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traced, plain := p.Begin(ports.WithTraceparent(t.Context(), trace)), p.Begin(t.Context())
	defer traced.End()
	defer plain.End()
	for i, run := range []*relay.Run{traced, plain} {
		if status, text := call(t, p, p.Token(), ask(run.Model("m"), "hello")); status != http.StatusOK {
			t.Fatalf("got %d %s", status, text)
		}
		if got, want := up.Calls()[i].Header.Get("Traceparent"), []string{trace, ""}[i]; got != want {
			t.Errorf("the provider was told %q, not %q", got, want)
		}
	}
}
