// Package kit runs the real server for tests: the built program, as a process of
// its own, on loopback, with a data folder that is thrown away.
package kit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Token is the bearer token of every server that the kit starts.
const Token = "sk-agentapi-dev-test-kit"

// Size is how much the tests shall do: plain for `go test`, smoke for the test
// command, full for a release.
func Size(plain, smoke, full int) int {
	switch os.Getenv("AGENTAPI_TEST_SIZE") {
	case "smoke":
		return smoke
	case "full":
		return full
	default:
		return plain
	}
}

// binary builds the server once for each test program.
var binary = sync.OnceValues(func() (string, error) { return build("agentapi/bootstrap/agentapi") })

// FakeAgent builds the agent that misbehaves as it is told.
var FakeAgent = sync.OnceValues(func() (string, error) { return build("agentapi/test/fakeagent") })

func build(pkg string) (string, error) {
	dir, err := os.MkdirTemp("", "agentapi-kit-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(pkg))
	if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// Binary gives the built server.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// FreePort finds a port that nothing listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Server is a server that runs.
type Server struct {
	URL  string
	Dir  string // its data folder
	Logs *Log

	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Log keeps what a program says.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Options says how a server is started.
type Options struct {
	Config string // YAML without version and server; empty: the defaults
	Dir    string // the data folder; a new one if absent
	Port   int    // a free one if absent
	Env    []string
}

// Start starts a server and waits until it is ready. It is stopped with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Launch(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

// Launch starts a server like Start, and leaves its end to the caller.
func Launch(t testing.TB, o Options) (*Server, error) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Port == 0 {
		o.Port = FreePort(t)
	}
	s := &Server{URL: fmt.Sprintf("http://127.0.0.1:%d", o.Port), Dir: o.Dir, Logs: &Log{}, done: make(chan struct{})}
	s.cmd = exec.Command(Binary(t), "serve")
	s.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + o.Dir, "TMPDIR=" + os.TempDir(), "AGENTAPI_DATA_DIR=" + o.Dir,
		fmt.Sprintf("AGENTAPI_PORT=%d", o.Port), "AGENTAPI_DEV_TOKEN=" + Token,
	}, o.Env...)
	if o.Config != "" {
		file := filepath.Join(o.Dir, "agentapi.yaml")
		if err := os.WriteFile(file, []byte("version: 1\n"+o.Config), 0o600); err != nil {
			return nil, err
		}
		s.cmd.Env = append(s.cmd.Env, "AGENTAPI_CONFIG="+file)
	}
	s.cmd.Dir = o.Dir
	s.cmd.Stdout, s.cmd.Stderr = s.Logs, s.Logs
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.done)
	}()
	return s, s.ready()
}

func (s *Server) ready() error {
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); {
		resp, err := http.Get(s.URL + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.done:
			return fmt.Errorf("the server ended: %v\n%s", s.err, s.Logs)
		case <-time.After(3 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server is not ready after 20 s\n%s", s.Logs)
}

// PID is the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Signal sends a signal to the server.
func (s *Server) Signal(sig os.Signal) { _ = s.cmd.Process.Signal(sig) }

// Kill kills the server, as kill -9 does, and waits for its end.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Stop asks the server to end and gives its exit code.
func (s *Server) Stop(within time.Duration) (int, error) {
	s.Signal(syscall.SIGTERM)
	return s.Wait(within)
}

// Wait waits for the server's end and gives its exit code.
func (s *Server) Wait(within time.Duration) (int, error) {
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-time.After(within):
		return 0, fmt.Errorf("the server lives on after %v", within)
	}
}

// Memory is the server's resident memory in bytes.
func (s *Server) Memory(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize()
}

// Answer is what a request got.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request with the kit's token. headers are pairs; an empty value
// takes a header away.
func (s *Server) Do(ctx context.Context, method, path, body string, headers ...string) (Answer, error) {
	resp, err := s.Open(ctx, method, path, body, headers...)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, string(text)}, err
}

// Open sends a request like Do and leaves the body to the caller.
func (s *Server) Open(ctx context.Context, method, path, body string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+Token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	return http.DefaultClient.Do(req)
}

// Chat asks for a completion; it fails the test only where there is no answer.
func (s *Server) Chat(t testing.TB, body string, headers ...string) Answer {
	t.Helper()
	a, err := s.Do(t.Context(), http.MethodPost, "/v1/chat/completions", body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Ask is the body of a request with one message.
func Ask(model, text string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, text)
}

// AskStream is Ask for a stream.
func AskStream(model, text string) string {
	return fmt.Sprintf(`{"model":%q,"stream":true,"messages":[{"role":"user","content":%q}]}`, model, text)
}
