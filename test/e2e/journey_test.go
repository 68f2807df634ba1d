package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentapi/test/kit"
)

// two is the configuration of two upstreams, as in the guide.
func two(first, second string) string {
	return fmt.Sprintf(`
storage: {driver: memory}
cache:   {driver: memory}
agents:
  up:  {driver: openai, models: [mock-1, mock-2], openai: {base_url: %q, api_key: "${env:UP_KEY:-none}"}, limits: {first_event: 2s}, health: {failures: 100}} # it keeps its place
  two: {driver: openai, models: [mock-1], openai: {base_url: %q, api_key: none}}
routing: {default: [up, two], aliases: {gpt-4o: [up/mock-1, two/mock-1]}}
`, first, second)
}

func TestAFailingUpstreamIsReplacedUnseen(t *testing.T) {
	for _, mode := range []string{"dead", "429", "500", "hang"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			good := kit.NewUpstream(t, "ok")
			first := kit.Dead(t)
			if mode != "dead" {
				first = kit.NewUpstream(t, mode).URL
			}
			s := kit.Start(t, kit.Options{Config: two(first, good.URL)})
			for _, model := range []string{"mock-1", "gpt-4o"} {
				for _, body := range []string{kit.Ask(model, "hello"), kit.AskStream(model, "hello")} {
					a := s.Chat(t, body)
					if a.Status != http.StatusOK || !strings.Contains(a.Body, "hello") || a.Header.Get("X-Agentapi-Agent") != "two" || a.Header.Get("X-Agentapi-Attempts") != "2" {
						t.Errorf("got %d %v %s", a.Status, a.Header, a.Body)
					}
				}
			}
			a := s.Chat(t, kit.Ask("up/mock-1", "hello"))
			if a.Status < 400 {
				t.Errorf("an agent that was asked for by name was replaced: %d", a.Status)
			}
			if strings.Contains(a.Body, "secret-of-upstream") {
				t.Errorf("the upstream's words are shown: %s", a.Body)
			}
		})
	}
}

func TestAFailureInTheMiddleOfAStreamIsSaidInIt(t *testing.T) {
	for mode, code := range map[string]string{"cut": "upstream_error", "nofinish": "stream_truncated"} {
		s := kit.Start(t, kit.Options{Config: two(kit.NewUpstream(t, mode).URL, kit.NewUpstream(t, "ok").URL)})
		a := s.Chat(t, kit.AskStream("mock-1", "hello"))
		if a.Status != http.StatusOK || strings.Contains(a.Body, "[DONE]") || strings.Contains(a.Body, `"finish_reason":"stop"`) || !strings.Contains(a.Body, code) {
			t.Errorf("%s: got %d %s", mode, a.Status, a.Body)
		}
		events := strings.Split(strings.TrimSpace(a.Body), "\n\n")
		var last struct {
			Error struct{ Message, Type, Code string }
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(events[len(events)-1], "data: ")), &last); err != nil || last.Error.Type != "server_error" {
			t.Errorf("%s: the last event is %s", mode, events[len(events)-1])
		}
	}
}

func TestWhatTheUpstreamSeesAndSaysIsPassedOn(t *testing.T) {
	up := kit.NewUpstream(t, "ok")
	s := kit.Start(t, kit.Options{Config: two(up.URL, up.URL)})
	const sent = `{"model":"up/mock-1", "messages":[{"role":"user","content":"hi"}],"top_k":40,"temperature":0.5,"nested":{"a":[1,2.50]}}`
	a := s.Chat(t, sent)
	if want := strings.Replace(sent, "up/mock-1", "mock-1", 1); up.Last() != want {
		t.Errorf("the upstream saw %s\nwant              %s", up.Last(), want)
	}
	if !strings.Contains(a.Body, `"vendor_field":{"a":1}`) || !strings.Contains(a.Body, `"cached_tokens":3`) || !strings.Contains(a.Body, `"model":"up/mock-1"`) {
		t.Errorf("got %s", a.Body)
	}
	if a := s.Chat(t, kit.AskStream("mock-1", "hi")); !strings.Contains(a.Body, `"vendor_field":7`) || strings.Contains(a.Body, "usage") {
		t.Errorf("got %s", a.Body)
	}
	if !strings.Contains(up.Last(), `"stream_options":{"include_usage":true}`) {
		t.Errorf("the upstream was not asked for usage: %s", up.Last())
	}
}

func TestAConversationGoesOnAcrossRequestsAndRestarts(t *testing.T) {
	dir := t.TempDir()
	s := kit.Start(t, kit.Options{Dir: dir})
	first := s.Chat(t, kit.Ask("demo/echo", "one"), "X-Session-Id", "my-chat")
	id := first.Header.Get("X-Agentapi-Session-Id")
	if first.Header.Get("X-Agentapi-Session") != "new" || !strings.HasPrefix(id, "sess_") {
		t.Errorf("got %v", first.Header)
	}
	if code, err := s.Stop(10 * time.Second); err != nil || code != 0 {
		t.Fatalf("exit %d, %v\n%s", code, err, s.Logs)
	}
	s = kit.Start(t, kit.Options{Dir: dir})
	second := s.Chat(t, `{"model":"demo/echo","messages":[{"role":"user","content":"one"},{"role":"assistant","content":"one"},{"role":"user","content":"two"}]}`, "X-Session-Id", "my-chat")
	if second.Header.Get("X-Agentapi-Session") != "resumed" || second.Header.Get("X-Agentapi-Session-Id") != id {
		t.Errorf("got %v", second.Header)
	}
	if third := s.Chat(t, kit.Ask("demo/echo", "three"), "X-Session-Id", id); third.Header.Get("X-Agentapi-Session") != "resumed" {
		t.Errorf("got %v", third.Header)
	}
	a, err := s.Do(t.Context(), http.MethodGet, "/api/v1/sessions/"+id+"/messages", "")
	if err != nil || strings.Count(a.Body, `"role"`) != 6 {
		t.Errorf("got %s, %v", a.Body, err)
	}
	if a, err := s.Do(t.Context(), http.MethodDelete, "/api/v1/sessions/"+id, ""); err != nil || a.Status != http.StatusOK {
		t.Errorf("got %d, %v", a.Status, err)
	}
	if a, err := s.Do(t.Context(), http.MethodGet, "/api/v1/sessions/"+id, ""); err != nil || a.Status != http.StatusNotFound {
		t.Errorf("got %d, %v", a.Status, err)
	}
}

func TestRunningAnswersFinishWhenTheServerIsAskedToStop(t *testing.T) {
	s := kit.Start(t, kit.Options{Env: []string{"AGENTAPI_SERVER__DRAIN_DELAY=300ms"}})
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("demo/slow", strings.Repeat("word ", 20)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	s.Signal(syscall.SIGTERM)
	time.Sleep(100 * time.Millisecond)
	if a, err := s.Do(t.Context(), http.MethodGet, "/readyz", ""); err != nil || a.Status != http.StatusServiceUnavailable {
		t.Errorf("while it drains: %d, %v", a.Status, err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil || !strings.HasSuffix(string(rest), "data: [DONE]\n\n") {
		t.Errorf("the stream was broken: %v, …%s", err, rest[max(0, len(rest)-200):])
	}
	if code, err := s.Wait(10 * time.Second); err != nil || code != 0 {
		t.Errorf("exit %d, %v", code, err)
	}
}

func TestAStreamThatOutlastsTheDrainIsToldWhy(t *testing.T) {
	half := kit.NewUpstream(t, "half")
	s := kit.Start(t, kit.Options{Config: two(half.URL, half.URL), Env: []string{"AGENTAPI_SERVER__DRAIN=300ms"}})
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("mock-1", "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.Signal(syscall.SIGTERM)
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), "shutting_down") || strings.Contains(string(body), "[DONE]") {
		t.Errorf("got %s, %v", body, err)
	}
	if code, err := s.Wait(10 * time.Second); err != nil || code != 0 {
		t.Errorf("exit %d, %v", code, err)
	}
}

func TestASecondSignalStopsAtOnce(t *testing.T) {
	half := kit.NewUpstream(t, "half")
	s := kit.Start(t, kit.Options{Config: two(half.URL, half.URL)})
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", kit.AskStream("mock-1", "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.Signal(syscall.SIGTERM)
	time.Sleep(200 * time.Millisecond)
	s.Signal(syscall.SIGTERM)
	if code, err := s.Wait(5 * time.Second); err != nil || code != 0 {
		t.Errorf("exit %d, %v", code, err)
	}
}

func TestTheBannersCurlLineWorksWhenPasted(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is not installed; install it with: apt-get install curl")
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(kit.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string][]string{
		"a token that is made": {"AGENTAPI_DEV_TOKEN="}, "one of the variable": {"AGENTAPI_DEV_TOKEN=" + kit.Token}, "one of a file": {"AGENTAPI_DEV_TOKEN=", "AGENTAPI_DEV_TOKEN_FILE=" + file},
	} {
		s := kit.Start(t, kit.Options{Env: env})
		kit.Soon(2*time.Second, func() bool { return strings.Contains(s.Logs.String(), "\n  Next") })
		_, rest, ok := strings.Cut(s.Logs.String(), "Try       ")
		line, _, ok2 := strings.Cut(rest, "\n  Next")
		if !ok || !ok2 {
			t.Fatalf("%s: there is no curl line in\n%s", name, s.Logs)
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-c", line+" -sS")
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), `"content":"hello"`) {
			t.Errorf("%s: %s\ngave %s, %v", name, line, out, err)
		}
		if strings.Contains(s.Logs.String(), kit.Token) {
			t.Errorf("%s: the token that was set is shown:\n%s", name, s.Logs)
		}
	}
}

func command(t *testing.T, dir string, env []string, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, kit.Binary(t), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AGENTAPI_DATA_DIR=" + dir}, env...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestABadConfigurationStopsTheStartWithAReadableLine(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"an unknown key":    {"server: {adr: \"x\"}", "agentapi.yaml:2:10: server.adr: unknown key; did you mean addr?"},
		"an unknown driver": {"storage: {driver: mongo}", `unknown driver "mongo" (have memory, postgres, sqlite)`},
		"a bad value":       {"server: {drain: soon}", `agentapi.yaml:2:10: server.drain: "soon" is not a duration`},
		"an unknown agent":  {"agents: {up: {driver: demo}}\nrouting: {default: [upp]}", `there is no agent "upp"; did you mean up?`},
		"a driver's option": {"agents: {up: {driver: openai, openai: {base_url: nope}}}", "base_url"},
		"a driver's key":    {"agents: {up: {driver: openai, openai: {base_ur: x}}}", "agents.up.openai.base_ur: unknown key; did you mean base_url?"},
		"an unset variable": {"agents: {up: {driver: openai, openai: {api_key: \"${env:NOT_SET_AT_ALL}\"}}}", "the variable NOT_SET_AT_ALL is not set"},
		"a sweep at once":   {"retention: {every: 0s}", "retention.every: must be at least 1m"},
		"no organisation":   {"retention: {orgs: {acme: {sessions: 1d}}}", `retention.orgs: "acme" is neither an id nor an issuer and a name, such as dev/acme`},
		"another version":   {"", "this build reads version 1, not 2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			version := "version: 1\n"
			if name == "another version" {
				version = "version: 2\n"
			}
			if err := os.WriteFile(filepath.Join(dir, "agentapi.yaml"), []byte(version+c.yaml+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"serve"}, {"config", "validate"}} {
				_, stderr, code := command(t, dir, nil, "", args...)
				if code != 3 || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, "→") || strings.Contains(stderr, "goroutine") {
					t.Errorf("%v: exit %d\n%s", args, code, stderr)
				}
			}
		})
	}
	dir := t.TempDir()
	if _, stderr, code := command(t, dir, []string{"AGENTAPI_PROT=1"}, "", "serve"); code != 3 || !strings.Contains(stderr, "did you mean AGENTAPI_PORT?") {
		t.Errorf("an unknown variable: exit %d\n%s", code, stderr)
	}
}

func TestTheCommandLine(t *testing.T) {
	dir := t.TempDir()
	if out, _, code := command(t, dir, nil, "", "version"); code != 0 || !strings.HasPrefix(out, "agentapi ") {
		t.Errorf("version: %d %s", code, out)
	}
	if out, _, code := command(t, dir, nil, "", "config", "schema"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("schema: %d", code)
	}
	if _, errs, code := command(t, dir, nil, "", "serv"); code != 2 || !strings.Contains(errs, "→") {
		t.Errorf("a typo: %d %s", code, errs)
	}
	if _, _, code := command(t, dir, nil, "", "config", "init"); code != 0 {
		t.Errorf("init: %d", code)
	}
	if out, errs, code := command(t, dir, nil, "", "config", "validate"); code != 0 || !strings.Contains(out, "valid") {
		t.Errorf("what init writes is not valid: %d %s %s", code, out, errs)
	}
	if _, errs, code := command(t, dir, nil, "", "config", "init"); code != 1 || !strings.Contains(errs, "--force") {
		t.Errorf("init over a file: %d %s", code, errs)
	}
	out, _, code := command(t, dir, []string{"OPENAI_API_KEY=sk-canary-123456", "AGENTAPI_AGENTS__DEMO__OPENAI__API_KEY=sk-canary-7"}, "", "config", "show", "--origin")
	if code != 0 || strings.Contains(out, "sk-canary") || !strings.Contains(out, "default") {
		t.Errorf("print: %d\n%s", code, out)
	}
	if out, _, code := command(t, dir, nil, "", "doctor", "--json"); code != 0 || !strings.Contains(out, `"ok":true`) {
		t.Errorf("doctor: %d %s", code, out)
	}
	if _, errs, code := command(t, dir, []string{fmt.Sprintf("AGENTAPI_PORT=%d", kit.FreePort(t))}, "", "healthcheck"); code != 4 || !strings.Contains(errs, "agentapi serve") {
		t.Errorf("healthcheck without a server: %d %s", code, errs)
	}
	s := kit.Start(t, kit.Options{})
	env := []string{"AGENTAPI_URL=" + s.URL, "AGENTAPI_TOKEN=" + kit.Token}
	if out, _, code := command(t, dir, env, "a diff\n", "chat", "-m", "demo/echo", "review"); code != 0 || out != "review\n\na diff\n" {
		t.Errorf("chat: %d %q", code, out)
	}
	if _, errs, code := command(t, dir, append(env, "AGENTAPI_TOKEN=wrong-token"), "x", "chat"); code != 1 || !strings.Contains(errs, "AGENTAPI_TOKEN") {
		t.Errorf("chat with a bad token: %d %s", code, errs)
	}
	for _, kind := range []string{"bash", "zsh", "fish"} {
		if out, _, code := command(t, dir, nil, "", "completion", kind); code != 0 || !strings.Contains(out, "agentapi") {
			t.Errorf("completion %s: %d", kind, code)
		}
	}
}
