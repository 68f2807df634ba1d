package exec_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"agentapi/adapters/agent/exec"
	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/ports"
	"agentapi/ports/porttest"
)

var fake string // the built test/fakeagent

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fakeagent")
	if err != nil {
		panic(err)
	}
	fake = filepath.Join(dir, "fakeagent")
	if out, err := osexec.Command("go", "build", "-o", fake, "agentapi/test/fakeagent").CombinedOutput(); err != nil {
		panic(string(out))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func open(t *testing.T, command []string, change ...func(*exec.Options)) *exec.Agent {
	t.Helper()
	var o exec.Options
	o.SetDefaults()
	o.Command = command
	o.Limits.Concurrent = 32
	for _, c := range change {
		c(&o)
	}
	a, err := exec.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// saying prefixes what the suite asks by a mode of the fake agent's.
type saying struct {
	*exec.Agent
	mode string
}

func (s saying) Run(ctx context.Context, task agent.Task) ports.Events {
	task.Messages = []chat.Message{chat.NewMessage(chat.User, s.mode)}
	return s.Agent.Run(ctx, task)
}

func TestTheDriverKeepsThePortsContract(t *testing.T) {
	mode := func(m string) func(*testing.T) ports.Agent {
		return func(t *testing.T) ports.Agent { return saying{open(t, []string{fake}), m} }
	}
	porttest.Agent(t, porttest.AgentBench{
		Answering:      func(t *testing.T) ports.Agent { return open(t, []string{fake}) },
		FailingAtStart: mode("exit9"), DyingMidway: mode("midstream"), Stalling: mode("hang"), StallingMidway: mode("half"), Flooding: mode("flood"),
		Model: "m", Echoes: true,
	})
}

func TestTheExampleInPythonKeepsThePortsContract(t *testing.T) {
	if _, err := osexec.LookPath("python3"); err != nil {
		t.Fatal("python3 is not installed; install it with: apt-get install python3")
	}
	script, err := filepath.Abs("example/agent.py")
	if err != nil {
		t.Fatal(err)
	}
	porttest.Agent(t, porttest.AgentBench{
		Answering: func(t *testing.T) ports.Agent { return open(t, []string{"python3", script}) },
		Model:     "m", Echoes: true,
	})
}

func TestAScriptIsFoundFromWhereTheServerRuns(t *testing.T) {
	if got, err := ask(t, t.Context(), open(t, []string{"python3", "example/agent.py"}), "hello"); err != nil || !strings.Contains(got, "hello") {
		t.Errorf("got %q, %v", got, err)
	}
}

// told keeps what is said of programs, and lets none start where it has an error.
type told struct {
	mu    sync.Mutex
	err   error
	begun []agent.Program
	ended []string
}

func (k *told) Starting(_ context.Context, p agent.Program) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begun = append(k.begun, p)
	return k.err
}

func (k *told) Ended(_ context.Context, p agent.Program, state string, why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = append(k.ended, fmt.Sprint(p.ID == k.begun[len(k.begun)-1].ID, " ", state, " ", fault.KindOf(why)))
}

func TestWhoMustKnowIsToldOfEachProgram(t *testing.T) {
	for mode, want := range map[string]string{"hello": "true exit status 0", "exit9": "true exit status 9 upstream"} {
		k := &told{}
		a := open(t, []string{fake})
		a.Tell(k)
		_, _ = ask(t, t.Context(), a, mode)
		if len(k.begun) != 1 || len(k.ended) != 1 || !strings.HasPrefix(k.ended[0], want) || k.begun[0].Argv != sha256.Sum256([]byte(fake+"\x00")) || k.begun[0].Bytes == 0 || k.begun[0].Total == 0 {
			t.Errorf("%s: %+v, %q", mode, k.begun, k.ended)
		}
	}
	k := &told{}
	a := open(t, []string{filepath.Join(t.TempDir(), "absent")})
	a.Tell(k)
	if _, err := ask(t, t.Context(), a, "hello"); err == nil || len(k.ended) != 1 || !strings.HasPrefix(k.ended[0], "true not started unavailable") {
		t.Errorf("of a program that is not there: %q, %v", k.ended, err)
	}
	k = &told{err: fault.New(fault.Unavailable, "no").WithCode("audit_unavailable")}
	file := filepath.Join(t.TempDir(), "ran")
	a = open(t, []string{"touch", file})
	a.Tell(k)
	if _, err := ask(t, t.Context(), a, "hello"); !errors.Is(err, k.err) || len(k.ended) != 0 {
		t.Errorf("got %v, %q", err, k.ended)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a program ran that was not recorded")
	}
}

func ask(t *testing.T, ctx context.Context, a *exec.Agent, prompt string) (string, error) {
	t.Helper()
	var fold chat.Assembler
	r := &chat.Request{Model: "m", N: 1, Messages: []chat.Message{chat.NewMessage(chat.User, prompt)}}
	for e, err := range a.Run(ctx, agent.Task{Model: "m", Request: r, Messages: r.Messages}) {
		if err != nil {
			return "", err
		}
		if err := fold.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	return fold.Completion().Choices[0].Message.Text(), nil
}

func TestWhatProgramsDoWrongIsSaidTruly(t *testing.T) {
	for mode, want := range map[string]struct {
		kind fault.Kind
		code string
	}{
		"segv": {fault.Upstream, "agent_error"}, "exit9": {fault.Upstream, "agent_error"}, "midstream": {fault.Upstream, "agent_error"},
		"badjson": {fault.Upstream, "agent_protocol_error"}, "silent": {fault.Upstream, "agent_protocol_error"},
		"flood": {fault.Upstream, "agent_protocol_error"}, "hang": {fault.Timeout, "agent_timeout"}, "refuse": {fault.Invalid, ""},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			a := open(t, []string{fake}, func(o *exec.Options) {
				if mode == "hang" {
					o.Limits.Idle = 500 * time.Millisecond
				}
			})
			_, err := ask(t, t.Context(), a, mode)
			f := fault.As(err)
			if f == nil || f.Kind != want.kind || f.Code != want.code {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(f.Message, "last words") {
				t.Error("what the program said to its operator is shown to callers")
			}
			if mode == "exit9" && !strings.Contains(err.Error(), "last words") {
				t.Errorf("the log lacks its last words: %v", err)
			}
		})
	}
}

func TestWhatProgramsDoOddlyDoesNoHarm(t *testing.T) {
	t.Setenv("AGENTAPI_CANARY", "canary-value")
	a := open(t, []string{fake}, func(o *exec.Options) { o.Env = map[string]string{"OWN": "given"} })
	for mode, check := range map[string]func(string) bool{
		"orphan":   func(s string) bool { return s == "done" },
		"flooderr": func(s string) bool { return s == "done" },
		"longline": func(s string) bool { return len(s) == 200<<10 },
		"badutf8": func(s string) bool {
			return strings.ToValidUTF8(s, "") == strings.ReplaceAll(s, "\ufffd", "\ufffd") && strings.HasSuffix(s, " b")
		},
		"env": func(s string) bool { return !strings.Contains(s, "canary-value") && strings.Contains(s, "OWN=given") },
	} {
		t.Run(mode, func(t *testing.T) {
			start := time.Now()
			got, err := ask(t, t.Context(), a, mode)
			if err != nil || !check(got) {
				t.Errorf("got %.200q, %v", got, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestAPromptIsDataWhateverItLooksLike(t *testing.T) {
	a := open(t, []string{fake})
	for _, prompt := range []string{"-p", "--settings=/tmp/evil.json", "$(touch /tmp/pwned)", "`id`", "@file", "a\n--flag\nb", "\x1b]52;c;ZXZpbA==\x07", "data: [DONE]\n\ndata: x"} {
		if got, err := ask(t, t.Context(), a, prompt); err != nil || got != prompt {
			t.Errorf("%q arrived as %q, %v", prompt, got, err)
		}
	}
	if got, err := ask(t, t.Context(), a, "argv secret"); err != nil || strings.Contains(got, "secret") {
		t.Errorf("the prompt stands among the arguments: %q, %v", got, err)
	}
}

func TestEverythingIsGoneTwoSecondsAfterTheCallerLeft(t *testing.T) {
	a := open(t, []string{fake})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &chat.Request{Model: "m", N: 1}
	task := agent.Task{Model: "m", Request: r, Messages: []chat.Message{chat.NewMessage(chat.User, "deaf")}}
	var left time.Time
	for _, err := range a.Run(ctx, task) {
		if err == nil {
			left = time.Now()
			cancel()
			continue
		}
		if !fault.Is(err, fault.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if took := time.Since(left); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if out, _ := osexec.Command("pgrep", "-f", "^sleep 300$").Output(); len(out) > 0 {
		t.Errorf("what it started in a session of its own is left: %s", out)
	}
}

func TestAProgramThatIsNotThereIsUnavailable(t *testing.T) {
	a := open(t, []string{"no-such-program-anywhere"})
	for _, err := range []error{a.Probe(t.Context()), func() error { _, err := ask(t, t.Context(), a, "hi"); return err }()} {
		if f := fault.As(err); f == nil || f.Kind != fault.Unavailable || f.Code != "agent_unavailable" || f.Hint == "" {
			t.Errorf("got %v", err)
		}
	}
}
