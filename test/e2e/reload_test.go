package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"agentapi/test/kit"
)

// reconfigure writes a server's configuration anew.
func reconfigure(t *testing.T, s *kit.Server, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Dir, "agentapi.yaml"), []byte("version: 1\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reload has a server read its configuration and tells what came of it.
func reload(t *testing.T, s *kit.Server, status int) map[string]any {
	t.Helper()
	return object(t, call(t, s, status, http.MethodPost, "/api/v1/platform/config/reload", "{}", as("platform_admin")...))
}

func settingsIn(v any) (out []string) {
	for _, s := range v.([]any) {
		out = append(out, s.(string))
	}
	return out
}

func TestTheConfigurationIsReadAgain(t *testing.T) {
	base := staff + "storage: {driver: memory}\n"
	first := kit.NewUpstream(t, "ok")
	with := func(rest string) string { return base + rest }
	up := fmt.Sprintf("  up: {driver: openai, models: [mock-1], openai: {base_url: %q}}\n", first.URL)
	s := kit.Start(t, kit.Options{Config: with("agents:\n  demo: {driver: demo, models: [echo, slow], demo: {delay: 50ms}}\n" + up)})
	ask := func(model string) kit.Answer { return s.Chat(t, kit.Ask(model, "one two"), as("victim")...) }
	if a := ask("up/mock-1"); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}

	if r := reload(t, s, 200); len(settingsIn(r["changed"]))+len(settingsIn(r["restart"])) != 0 {
		t.Errorf("nothing has changed, and it says %v", r)
	}
	stream, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("demo/slow", strings.Repeat("word ", 60)), as("victim")...)
	if err != nil || stream.StatusCode != 200 {
		t.Fatalf("%v, %v", stream, err)
	}
	defer stream.Body.Close()

	// An agent goes, another comes, one is changed; limits and prices are others; what
	// takes a restart says so.
	reconfigure(t, s, with("agents:\n  demo: {driver: demo, models: [echo, slow], demo: {delay: 1ms}}\n  new: {driver: demo, models: [echo]}\nrouting: {aliases: {fast: [new/echo]}}\nlimits: {models: {fast: {requests_per_day: 1}}}\nserver: {heartbeat: 7s}\nlog: {level: debug}\n"))
	r := reload(t, s, 200)
	for what, agent := range map[string]string{"added": "agents.new", "removed": "agents.up"} {
		if got := settingsIn(r[what]); !slices.Equal(got, []string{agent}) {
			t.Errorf("%s is said to be %v", what, got)
		}
	}
	if slices.ContainsFunc(settingsIn(r["changed"]), func(path string) bool {
		return strings.HasPrefix(path, "agents.new") || strings.HasPrefix(path, "agents.up")
	}) {
		t.Errorf("agents that came and went are said to be changed: %v", r["changed"])
	}
	for _, path := range []string{"agents.demo.demo.delay", "routing.aliases.fast", "limits.models.fast.requests_per_day", "log.level"} {
		if !slices.Contains(settingsIn(r["changed"]), path) {
			t.Errorf("%s is not among %v", path, r["changed"])
		}
	}
	if got := settingsIn(r["restart"]); !slices.Equal(got, []string{"server.heartbeat"}) {
		t.Errorf("a restart is said to be taken by %v", got)
	}
	if a := ask("up/mock-1"); a.Status != 404 || !strings.Contains(a.Body, "model_not_found") {
		t.Errorf("an agent that has gone: %d %s", a.Status, a.Body)
	}
	if a := ask("fast"); a.Status != 200 || a.Header.Get("X-Agentapi-Agent") != "new" {
		t.Errorf("an agent that has come: %d %s", a.Status, a.Body)
	}
	if a := ask("fast"); a.Status != 429 {
		t.Errorf("beyond the new limit: %d %s", a.Status, a.Body)
	}
	if text, err := streamed(stream); err != nil {
		t.Errorf("the stream that ran: %q, %v", text, err)
	}
	settings := call(t, s, 200, http.MethodGet, "/api/v1/platform/config", "", as("platform_admin")...).Body
	if !strings.Contains(settings, `"path":"routing.aliases.fast"`) || strings.Contains(settings, `"value":"7s"`) {
		t.Errorf("what holds is said to be %s", settings)
	}
	agents := call(t, s, 200, http.MethodGet, "/api/v1/platform/agents", "", as("platform_admin")...).Body
	if !strings.Contains(agents, `"id":"new"`) {
		t.Errorf("the agents are %s", agents)
	}
	log := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?limit=100&order=desc", "", as("platform_admin")...).Body
	if !strings.Contains(log, "config.reloaded") || !strings.Contains(log, `"changed":"agents,limits,log,routing"`) {
		t.Errorf("the audit log has %s", log)
	}

	// Whatever is wrong with it, all stays as it was, and all that is wrong is said.
	for name, broken := range map[string][2]string{
		"no YAML":           {"agents: [", "agentapi.yaml"},
		"unknown keys":      {with("agents: {demo: {driver: demo, modles: [echo]}}\nrooting: {}\n"), "modles"},
		"an unknown driver": {with("agents: {demo: {driver: nobody}}\n"), "nobody"},
		"an unknown agent":  {with("agents: {demo: {driver: demo}}\nrouting: {default: [gone]}\n"), "gone"},
		"an option's value": {with("agents: {demo: {driver: demo}, x: {driver: openai, openai: {base_url: 'ftp://x'}}}\n"), "base_url"},
	} {
		reconfigure(t, s, broken[0])
		a, err := s.Do(t.Context(), http.MethodPost, "/api/v1/platform/config/reload", "{}", append(as("platform_admin"), "Content-Type", "application/json")...)
		if err != nil || a.Status != 400 || !strings.Contains(a.Body, broken[1]) || !strings.Contains(a.Body, "invalid_configuration") {
			t.Errorf("%s: %d %s, %v", name, a.Status, a.Body, err)
		}
		if a := ask("new/echo"); a.Status != 200 {
			t.Errorf("after %s: %d %s", name, a.Status, a.Body)
		}
	}
	if a, err := s.Do(t.Context(), http.MethodPost, "/api/v1/platform/config/reload", "{}", append(as("org_admin"), "Content-Type", "application/json")...); err != nil || a.Status != 403 {
		t.Errorf("by an organisation's administrator: %d %s, %v", a.Status, a.Body, err)
	}
}

func TestASignalAndACommandReloadToo(t *testing.T) {
	base := staff + "log: {format: json}\nstorage: {driver: memory}\nagents: {demo: {driver: demo}}\n"
	s := kit.Start(t, kit.Options{Config: base})
	reconfigure(t, s, base+"routing: {aliases: {one: [demo/echo]}}\n")
	s.Signal(syscall.SIGHUP)
	if !kit.Soon(5*time.Second, func() bool { return s.Chat(t, kit.Ask("one", "x"), as("victim")...).Status == 200 }) {
		t.Error("the signal does nothing")
	}
	if log := call(t, s, 200, http.MethodGet, "/api/v1/platform/audit?limit=100&order=desc", "", as("platform_admin")...).Body; !strings.Contains(log, `"changed":"routing"`) {
		t.Errorf("the audit log has %s", log)
	}
	reconfigure(t, s, "nonsense\n")
	s.Signal(syscall.SIGHUP)
	if !kit.Soon(5*time.Second, func() bool { return strings.Contains(s.Logs.String(), "the configuration stays as it was") }) {
		t.Error("the log does not say what is wrong")
	}
	reconfigure(t, s, strings.Replace(base, "{demo:", "{other: {driver: demo}, demo:", 1)+"routing: {aliases: {two: [demo/echo]}}\nserver: {heartbeat: 5s}\n")
	env := append(os.Environ(), "AGENTAPI_URL="+s.URL, "AGENTAPI_TOKEN="+strings.TrimPrefix(as("platform_admin")[1], "Bearer "))
	out, code := agentapi(t, env, "reload")
	for _, want := range []string{"added            agents.other\n", "changed          routing.aliases.one\n", "changed          routing.aliases.two\n", "takes a restart  server.heartbeat\n"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d:\n%s", code, out)
		}
	}
	if a := s.Chat(t, kit.Ask("two", "x"), as("victim")...); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// Under load nothing fails while agents come, go and change.
func TestNothingIsLostWhileTheConfigurationChanges(t *testing.T) {
	base := staff + "storage: {driver: memory}\n"
	first, second := kit.NewUpstream(t, "ok"), kit.NewUpstream(t, "ok")
	config := func(n int) string {
		urls := []string{first.URL, second.URL}
		return base + fmt.Sprintf("agents:\n  demo: {driver: demo, models: [slow], demo: {delay: %dms}}\n  up%d: {driver: openai, models: [mock-1], openai: {base_url: %q}}\nrouting: {aliases: {any: [up%[2]d/mock-1]}}\n", 5+n%3, n%2, urls[n%2])
	}
	s := kit.Start(t, kit.Options{Config: config(0)})
	ctx, stop := context.WithCancel(t.Context())
	var (
		all  sync.WaitGroup
		done atomic.Int64
	)
	for n := range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				body := kit.Ask("any", "hello")
				if n%2 == 0 {
					body = kit.AskStream("demo/slow", strings.Repeat("word ", 30))
				}
				resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", body, as("victim")...)
				if err != nil {
					t.Error(err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || n%2 == 0 && !bytes.HasSuffix(text, []byte("data: [DONE]\n\n")) {
					t.Errorf("%d %s, %v", resp.StatusCode, text, err)
					return
				}
				done.Add(1)
			}
		})
	}
	times := kit.Size(20, 20, 200)
	for n := range times {
		before := done.Load()
		reconfigure(t, s, config(n+1))
		reload(t, s, 200)
		if !kit.Soon(10*time.Second, func() bool { return done.Load() > before+8 || t.Failed() }) {
			t.Error("nothing is answered any more")
		}
	}
	stop()
	all.Wait()
	t.Logf("%d answers, %d reloads", done.Load(), times)
}

// Told twice to stop, a server is gone in a moment: what runs is told why, and what it
// has still to write is written.
func TestWhoIsToldTwiceToStopHasTheLastWord(t *testing.T) {
	s := kit.Start(t, kit.Options{Config: staff + "log: {format: json}\nagents: {demo: {driver: demo, demo: {delay: 200ms}}}\n"})
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("demo/slow", strings.Repeat("word ", 600)), as("victim")...)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	defer resp.Body.Close()
	s.Signal(syscall.SIGTERM)
	if !kit.Soon(5*time.Second, func() bool { return strings.Contains(s.Logs.String(), "a second signal stops at once") }) {
		t.Fatal("it does not say that it stops")
	}
	s.Signal(syscall.SIGTERM)
	began := time.Now()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), `"shutting_down"`) || strings.Contains(string(text), "[DONE]") {
		t.Errorf("the stream ends with %s, %v", text[max(0, len(text)-300):], err)
	}
	code, err := s.Wait(5 * time.Second)
	if err != nil || code != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("exit %d after %v, %v", code, time.Since(began), err)
	}
	again := kit.Start(t, kit.Options{Dir: s.Dir, Config: staff})
	log := call(t, again, 200, http.MethodGet, "/api/v1/platform/audit?limit=100", "", as("platform_admin")...).Body
	if !strings.Contains(log, "server.stopped") || !strings.Contains(log, "chat.completed") {
		t.Errorf("the audit log has %s", log)
	}
}
