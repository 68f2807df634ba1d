package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentapi/test/kit"
)

const providerKey = "sk-canary-provider-key-0123456789"

// realAgents is a configuration with the real droid and ccr before the provider, and
// the provider itself.
func realAgents(t *testing.T, p *kit.Provider, more string) string {
	t.Helper()
	return fmt.Sprintf(`
storage: {driver: sqlite}
agents:
  ccr:   {driver: ccr, ccr: {command: %q, providers: [{name: or, base_url: %q, api_key: %q, models: [m]}]}}
  droid: {driver: droid, models: [m], droid: {command: %q, base_url: %q, api_key: %q, max: 6}}
  up:    {driver: openai, models: [m], openai: {base_url: %q, api_key: %q}}
%s`, kit.CCRProgram(t), p.URL+"/v1", providerKey, kit.DroidProgram(t), p.URL+"/v1", providerKey, p.URL+"/v1", providerKey, more)
}

func TestADeadGatewayFailsOverToDroidAndToAnUpstreamUnseen(t *testing.T) {
	p := kit.NewProvider(t)
	config := strings.Replace(realAgents(t, p, "routing: {aliases: {best: [ccr/m, droid/m, up/m]}}"), kit.CCRProgram(t), "/nowhere/ccr", 1)
	s := kit.Start(t, kit.Options{Config: config})
	for _, body := range []string{kit.Ask("best", "hello"), kit.AskStream("best", "hello")} {
		a := s.Chat(t, body)
		if a.Status != http.StatusOK || !strings.Contains(a.Body, "hello") || a.Header.Get("X-Agentapi-Agent") != "droid" || a.Header.Get("X-Agentapi-Attempts") != "2" {
			t.Errorf("got %d %v %s", a.Status, a.Header, a.Body)
		}
	}
	both := kit.Start(t, kit.Options{Config: strings.Replace(config, kit.DroidProgram(t), "/nowhere/droid", 1)})
	if a := both.Chat(t, kit.Ask("best", "hello")); a.Status != http.StatusOK || a.Header.Get("X-Agentapi-Agent") != "up" || a.Header.Get("X-Agentapi-Attempts") != "3" {
		t.Errorf("got %d %v %s", a.Status, a.Header, a.Body)
	}
}

// firstText is how long the first piece of a streamed answer takes.
func firstText(t *testing.T, s *kit.Server, session, body string) time.Duration {
	t.Helper()
	began := time.Now()
	resp, err := s.Open(t.Context(), http.MethodPost, "/v1/chat/completions", body, "X-Session-Id", session)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var first time.Duration
	all := ""
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		all += lines.Text() + "\n"
		if first == 0 && strings.Contains(lines.Text(), `"content":"h`) {
			first = time.Since(began)
		}
	}
	if first == 0 || !strings.Contains(all, "[DONE]") {
		t.Fatalf("got %d %s", resp.StatusCode, all)
	}
	return first
}

func TestADroidsSessionIsWarmAndOutlivesTheServer(t *testing.T) {
	p := kit.NewProvider(t)
	o := kit.Options{Dir: t.TempDir(), Config: realAgents(t, p, "")}
	s := kit.Start(t, o)
	cold := firstText(t, s, "chat", kit.AskStream("droid/m", "hello one"))
	turn := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"model":"droid/m","stream":true,"messages":[{"role":"user","content":"hello one"}`)
		for i := range n {
			fmt.Fprintf(&b, `,{"role":"assistant","content":%q},{"role":"user","content":"hello %d"}`, answer(i), i)
		}
		return b.String() + "]}"
	}
	warm := firstText(t, s, "chat", turn(1))
	t.Logf("the first piece: %v cold, %v warm", cold.Round(time.Millisecond), warm.Round(time.Millisecond))
	if _, err := s.Stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	before := len(p.Calls())
	o.Port = 0
	again := kit.Start(t, o)
	a := again.Chat(t, turn(2), "X-Session-Id", "chat")
	if a.Status != http.StatusOK || a.Header.Get("X-Agentapi-Session") != "resumed" {
		t.Fatalf("got %d %v %s", a.Status, a.Header, a.Body)
	}
	calls := p.Calls()
	if last := calls[len(calls)-1]; len(calls) != before+1 || last.Last != "hello 1" || !strings.Contains(last.Body, "hello one") {
		t.Errorf("the resumed turn said %q", last.Last)
	}
}

func answer(i int) string {
	if i == 0 {
		return "hello one"
	}
	return fmt.Sprintf("hello %d", i-1)
}

// Runs of all kinds, on real agents; afterwards nothing of them is left.
func TestMixedRunsLeaveNothing(t *testing.T) {
	runs := kit.Size(12, 24, 300)
	p := kit.NewProvider(t)
	o := kit.Options{Dir: t.TempDir(), Port: kit.FreePort(t), Config: realAgents(t, p, "")}
	tmp := t.TempDir()
	o.Env = []string{"TMPDIR=" + tmp}
	launch := func() *kit.Server {
		s, err := kit.Launch(t, o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := launch()
	kills, children := 0, 0
	for n := range runs {
		model := []string{"droid/m", "ccr/m", "up/m"}[n%3]
		prompt := []string{"hello there", "half", "hang", "flood", "cut", "fail 500"}[rand.IntN(6)]
		if n%5 == 3 {
			prompt = "half" // and its program is killed meanwhile
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(300+rand.IntN(3000))*time.Millisecond)
		resp, err := s.Open(ctx, http.MethodPost, "/v1/chat/completions", kit.AskStream(model, prompt))
		if err == nil {
			_, _ = resp.Body.Read(make([]byte, 1+rand.IntN(2000))) // whatever comes, then it is left
			if n%5 == 3 {
				children += killChildren(o.Dir, s.PID())
			}
			resp.Body.Close()
		}
		cancel()
		left := time.Now()
		if !kit.Soon(time.Second, func() bool { return p.Open() == 0 }) {
			t.Errorf("run %d, %s %s: the provider's call goes on %v after the client left", n, model, prompt, time.Since(left))
		}
		if n%(runs/3) == runs/3-1 && n < runs-1 {
			s.Kill()
			kills++
			s = launch()
		}
	}
	if code, err := s.Stop(20 * time.Second); err != nil || code != 0 {
		t.Errorf("the server ended with %d, %v", code, err)
	}
	if !kit.Soon(3*time.Second, func() bool { return len(kit.Holding(o.Dir)) == 0 && len(kit.Holding(tmp)) == 0 }) {
		t.Errorf("processes are left: %v %v", kit.Holding(o.Dir), kit.Holding(tmp))
	}
	folders, err := filepath.Glob(filepath.Join(tmp, "agentapi-run-*"))
	if err != nil || len(folders) > 0 {
		t.Errorf("folders are left: %v, %v", folders, err)
	}
	t.Logf("%d runs, %d kills of the server, %d of agents' programs: nothing is left", runs, kills, children)
}

// killChildren kills the droids of the server, and says how many processes there were.
func killChildren(dir string, server int) (killed int) {
	for _, proc := range kit.Holding(filepath.Join(dir, "droid")) {
		var pid int
		if _, err := fmt.Sscan(proc, &pid); err == nil && pid != server && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	return killed
}

func TestNoKeyOfAProviderShows(t *testing.T) {
	p := kit.NewProvider(t)
	o := kit.Options{Dir: t.TempDir(), Config: realAgents(t, p, "")}
	canaries := []string{providerKey}
	for n := range 19 {
		canary := fmt.Sprintf("canary-%d-%d", n, rand.Int64())
		canaries = append(canaries, canary)
		o.Env = append(o.Env, fmt.Sprintf("%s_%d=%s", []string{"AWS_SECRET_ACCESS_KEY", "ANTHROPIC_API_KEY", "DB_PASSWORD"}[n%3], n, canary))
	}
	shows := func(text string) bool {
		return slices.ContainsFunc(canaries, func(c string) bool { return strings.Contains(text, c) })
	}
	s := kit.Start(t, o)
	for _, model := range []string{"droid/m", "ccr/m", "up/m"} {
		for _, prompt := range []string{"hello", "fail 401", "fail 500"} {
			if a := s.Chat(t, kit.Ask(model, prompt)); shows(a.Body + fmt.Sprint(a.Header)) {
				t.Errorf("%s %s shows the key: %s", model, prompt, a.Body)
			}
		}
	}
	if shows(s.Logs.String()) {
		t.Error("the log shows the key")
	}
	if children := kit.Holding(filepath.Join(o.Dir, "droid")); len(children) == 0 {
		t.Error("no droid is seen: the test shows nothing")
	}
	for _, proc := range kit.Holding(o.Dir) {
		pid, _, _ := strings.Cut(proc, " ")
		if pid == fmt.Sprint(s.PID()) {
			continue
		}
		for _, file := range []string{"environ", "cmdline"} {
			text, err := os.ReadFile(filepath.Join("/proc", pid, file))
			if err == nil && shows(string(text)) {
				t.Errorf("%s of %s shows the key", file, proc)
			}
		}
	}
	if err := filepath.WalkDir(o.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Base(path) == "agentapi.yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && shows(string(text)) {
			t.Errorf("%s holds the key", path)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
