// Package kit runs the real server for tests: the built program, as a process of
// its own, on loopback, with a data folder that is thrown away.
package kit

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Token is the bearer token of every server that the kit starts.
const Token = "sk-agentapi-dev-test-kit"

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

	http *http.Client
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
	t.Cleanup(func() {
		s.Kill()
		end(s.Dir)
	})
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
	s := &Server{URL: fmt.Sprintf("http://127.0.0.1:%d", o.Port), Dir: o.Dir, Logs: &Log{}, http: client(t), done: make(chan struct{})}
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
