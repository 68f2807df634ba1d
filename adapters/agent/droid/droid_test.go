package droid_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"agentapi/adapters/agent/droid"
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

// open makes an agent of the real droid before the provider.
func open(t *testing.T, p *kit.Provider, change ...func(*droid.Options)) *droid.Agent {
	t.Helper()
	var o droid.Options
	o.SetDefaults()
	o.Command = kit.DroidProgram(t)
	o.BaseURL, o.APIKey, o.Dir, o.Max = p.URL+"/v1", key, t.TempDir(), 16
	for _, c := range change {
		c(&o)
	}
	r := relay.New()
	a, err := droid.Open(o, r)
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

var sessions atomic.Int64

// task asks in a session of its own.
func task(text string, change ...func(*agent.Task)) agent.Task {
	r := &chat.Request{Model: "vendor/model", N: 1, Stream: true, Messages: []chat.Message{chat.NewMessage(chat.User, text)}}
	out := agent.Task{Model: "vendor/model", Request: r, Messages: r.Messages, Session: agent.Session{ID: fmt.Sprintf("sess_%d", sessions.Add(1)), New: 1}}
	for _, c := range change {
		c(&out)
	}
	return out
}

// collect runs a task to its end.
func collect(t *testing.T, ctx context.Context, a ports.Agent, task agent.Task) (chat.Completion, []chat.Event, error) {
	t.Helper()
	var (
		fold   chat.Assembler
		events []chat.Event
	)
	for e, err := range a.Run(ctx, task) {
		if err != nil {
			return fold.Completion(), events, err
		}
		if err := fold.Add(e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return fold.Completion(), events, nil
}

// apart gives every run of the suite a session of its own, and says mode before
// the prompt.
type apart struct {
	*droid.Agent
	mode string
}

func (a apart) Run(ctx context.Context, t agent.Task) ports.Events {
	t.Session.ID = fmt.Sprintf("sess_%d", sessions.Add(1))
	if a.mode != "" {
		t.Messages = []chat.Message{chat.NewMessage(chat.User, a.mode)}
	}
	return a.Agent.Run(ctx, t)
}

func TestTheDriverKeepsThePortsContract(t *testing.T) {
	p := kit.NewProvider(t)
	mode := func(m string) func(*testing.T) ports.Agent {
		return func(t *testing.T) ports.Agent { return apart{open(t, p), m} }
	}
	porttest.Agent(t, porttest.AgentBench{
		Answering: mode(""), FailingAtStart: mode("fail 500"), DyingMidway: mode("cut"),
		Stalling: mode("hang"), StallingMidway: mode("half"), Flooding: mode("flood"),
		Model: "vendor/model", Echoes: true, Warm: true, Patience: 2 * time.Second,
	})
}

// next is the task of a later turn in the same session.
func next(first agent.Task, answer, text, native string) agent.Task {
	t := first
	t.Messages = append(append([]chat.Message(nil), first.Messages...), chat.NewMessage(chat.Assistant, answer), chat.NewMessage(chat.User, text))
	t.Request = &chat.Request{Model: first.Model, N: 1, Stream: true, Messages: t.Messages}
	t.Session.Native, t.Session.New = native, 1
	return t
}

func text(c chat.Completion) string {
	if len(c.Choices) == 0 {
		return ""
	}
	return c.Choices[0].Message.Text()
}

func TestATurnIsToldTheTruthOf(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	ask := task("hello from the test")
	got, events, err := collect(t, t.Context(), a, ask)
	if err != nil || text(got) != "hello from the test" {
		t.Fatalf("got %q, %v", text(got), err)
	}
	if events[0].Kind != chat.Started || events[0].Text == "" {
		t.Errorf("the session is not told: %+v", events[0])
	}
	used := p.Used()
	if u := got.Usage; u.Prompt != used.Prompt || u.Completion != used.Completion || u.Cached != used.Cached || u.Estimated {
		t.Errorf("used %+v, the provider counted %+v", u, used)
	}
	t.Run("a warm turn says only what is new", func(t *testing.T) {
		began := time.Now()
		again, _, err := collect(t, t.Context(), a, next(ask, "hello from the test", "and again", events[0].Text))
		if err != nil || text(again) != "and again" {
			t.Fatalf("got %q, %v", text(again), err)
		}
		t.Logf("a warm turn took %v", time.Since(began).Round(time.Millisecond))
		calls := p.Calls()
		if last := calls[len(calls)-1]; last.Last != "and again" || !strings.Contains(last.Body, `"hello from the test"`) {
			t.Errorf("the provider saw %q", last.Last)
		}
	})
}

func TestASessionIsResumedByAnotherProcess(t *testing.T) {
	p := kit.NewProvider(t)
	dir := t.TempDir()
	in := func(o *droid.Options) { o.Dir = dir }
	ask := task("remember the number 7")
	a := open(t, p, in)
	got, events, err := collect(t, t.Context(), a, ask)
	if err != nil {
		t.Fatal(err)
	}
	native := events[0].Text
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := open(t, p, in)
	second := next(ask, text(got), "use Read {\"file_path\":\"/etc/hostname\"}", native)
	again, events, err := collect(t, t.Context(), b, second)
	if err != nil || events[0].Text != native {
		t.Fatalf("got %+v, %v", events, err)
	}
	if !strings.Contains(text(again), "not permitted") {
		t.Errorf("a resumed session may use tools: %q", text(again))
	}
	calls := p.Calls()
	if body := calls[len(calls)-1].Body; strings.Count(body, "remember the number 7") < 2 { // the question and its echo
		t.Errorf("the provider did not see the conversation: %s", body)
	}
	t.Run("what departed from ours is built anew", func(t *testing.T) {
		other := next(ask, "another answer", "go on", native)
		_, events, err := collect(t, t.Context(), b, other)
		if err != nil || events[0].Text == native {
			t.Fatalf("got %+v, %v", events, err)
		}
		calls := p.Calls()
		if last := calls[len(calls)-1]; !strings.Contains(last.Body, "another answer") || strings.Contains(last.Body, "not permitted") {
			t.Errorf("the provider saw %s", last.Last)
		}
	})
}

func TestToolsAreRefused(t *testing.T) {
	p := kit.NewProvider(t)
	dir := t.TempDir()
	made := filepath.Join(dir, "made")
	a := open(t, p)
	for _, tool := range []string{`Read {"file_path":"/etc/hostname"}`, `LS {"directory_path":"/"}`} {
		got, _, err := collect(t, t.Context(), a, task("use "+tool))
		if err != nil || !strings.Contains(text(got), "not permitted") {
			t.Errorf("%s: %q, %v", tool, text(got), err)
		}
	}
	// One that asks for leave is denied, which ends the turn.
	_, _, err := collect(t, t.Context(), a, task(`use Execute {"command":"touch `+made+`","riskLevel":"low","riskLevelReason":"x","timeout":5}`))
	if _, there := os.Stat(made); there == nil {
		t.Error("the command ran")
	}
	t.Logf("the refused command's turn: %v", err)
	for _, c := range p.Calls() {
		if strings.Contains(c.Body, `"tools":[{`) {
			t.Errorf("tools are offered: %.300s", c.Body)
		}
	}
}

func TestWhatTheProviderSaysIsSaid(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	for prompt, want := range map[string]fault.Kind{
		"fail 400": fault.Invalid, "fail 401": fault.Upstream, "fail 429": fault.RateLimited, "fail 500": fault.Upstream, "fail 503": fault.Unavailable,
		"reset": fault.Upstream, "cut": fault.Upstream,
	} {
		began := time.Now()
		_, _, err := collect(t, t.Context(), a, task(prompt))
		f := fault.As(err)
		if f == nil || f.Kind != want {
			t.Errorf("%s: %v", prompt, err)
			continue
		}
		if f.Kind == fault.RateLimited && f.RetryAfter != 7*time.Second {
			t.Errorf("%s: retry after %v", prompt, f.RetryAfter)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("%s: it took %v: it is tried again in silence", prompt, took)
		}
		if n := len(p.Calls()); n > 0 && p.Calls()[n-1].Header.Get("Authorization") != "Bearer "+key {
			t.Error("the provider's key is not sent")
		}
	}
	seen := map[string]int{}
	for _, c := range p.Calls() {
		if seen[c.Last]++; seen[c.Last] > 1 {
			t.Errorf("%s was tried %d times", c.Last, seen[c.Last])
		}
	}
}

func TestLeavingEndsTheCallAndTheProcess(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	var left time.Time
	for e, err := range a.Run(ctx, task("half")) {
		if err == nil && e.Kind == chat.Text {
			left = time.Now()
			cancel()
		}
	}
	cancel()
	if took := time.Since(left); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if !kit.Soon(time.Second, func() bool { return p.Open() == 0 }) {
		t.Error("the provider's call goes on")
	}
}

func TestAPromptArrivesAsItIs(t *testing.T) {
	p := kit.NewProvider(t)
	a := open(t, p)
	for _, prompt := range []string{
		"$(touch /tmp/agentapi-pwned) `id`", "--help", "@/etc/hostname", "/help", "!ls", "-p", kit.Long(300 << 10), "\x1b]52;c;ZXZpbA==\x07", "data: [DONE]",
	} {
		got, _, err := collect(t, t.Context(), a, task(prompt))
		if err != nil || strings.TrimSpace(text(got)) != strings.TrimSpace(prompt) {
			t.Errorf("%.60q arrived as %.60q, %v", prompt, text(got), err)
		}
	}
	if got, _, err := collect(t, t.Context(), a, task("long")); err != nil || len(text(got)) != 200<<10 {
		t.Errorf("a line of 200 KB: %d, %v", len(text(got)), err)
	}
}

func TestNoChildHoldsTheKey(t *testing.T) {
	p := kit.NewProvider(t)
	dir := t.TempDir()
	a := open(t, p, func(o *droid.Options) { o.Dir = dir })
	if _, _, err := collect(t, t.Context(), a, task("hello")); err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, proc := range all {
		env, _ := os.ReadFile(filepath.Join(proc, "environ")) // what is gone or another's says nothing
		args, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		if strings.Contains(string(env), "AGENTAPI_RUN=") {
			found++
			if strings.Contains(string(env)+string(args), key) {
				t.Errorf("%s holds the key", proc)
			}
		}
	}
	if found == 0 {
		t.Error("no process is seen: the test shows nothing")
	}
	if err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), key) {
			t.Errorf("%s holds the key", path)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
