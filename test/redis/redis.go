// Package redis starts real Redis servers for tests: on loopback, on free ports,
// with data that is thrown away.
package redis

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"agentapi/test/debian"
)

// External names the variable with the address of a server to use instead, as a
// URL. Its keys are not removed.
const External = "AGENTAPI_TEST_REDIS"

// Server is a Redis server.
type Server struct {
	Addr string // host and port
	URL  string

	cert, key string // files; empty: no TLS

	dir    string
	bin    string
	args   []string
	as     *syscall.Credential
	port   int
	cmd    *exec.Cmd
	logs   *os.File
	exited chan struct{}
	guard  *exec.Cmd // ends the server should this program die
}

// Option changes how a server runs.
type Option func(*Server)

// Args are more arguments of redis-server.
func Args(args ...string) Option { return func(s *Server) { s.args = append(s.args, args...) } }

// TLS has the server speak TLS alone, with a certificate and its key, in PEM files.
func TLS(cert, key string) Option {
	return func(s *Server) { s.cert, s.key = cert, key }
}

var shared = struct {
	sync.Mutex
	server *Server
	err    error
}{}

// Shared gives the address of the server that all tests of a program use, which
// Stop stops: they need keys of their own. It skips the test where the tests shall
// be over soon and no server can be had.
func Shared(t testing.TB) string {
	t.Helper()
	if address := os.Getenv(External); address != "" {
		return address
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = launch()
	}
	if shared.err != nil {
		debian.Unavailable(t, shared.err, External)
	}
	return shared.server.URL
}

// Stop stops the server that a program's tests have shared, if they did.
func Stop() {
	if shared.server != nil {
		shared.server.Remove()
	}
}

// New starts a server for one test alone, which may kill it.
func New(t testing.TB, options ...Option) *Server {
	t.Helper()
	s, err := launch(options...)
	if err != nil {
		debian.Unavailable(t, err, External)
	}
	t.Cleanup(s.Remove)
	return s
}

func launch(options ...Option) (_ *Server, err error) {
	s := &Server{}
	for _, o := range options {
		o(s)
	}
	need := debian.Need{Programs: []string{"redis-server"}, Packages: []string{"redis-server"}}
	if s.bin, err = need.Folder(); err != nil {
		return nil, err
	}
	if s.as, err = debian.Unprivileged("redis", "nobody"); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "agentapi-redis-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Remove()
		}
	}()
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return nil, err
		}
	}
	if s.logs, err = os.Create(s.dir + ".log"); err != nil {
		return nil, err
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	s.URL = "redis://" + s.Addr
	if s.cert != "" {
		s.URL = "rediss://" + s.Addr
		if err := s.readable(); err != nil {
			return nil, err
		}
	}
	return s, s.Start()
}

// readable copies the certificate to where the server's user may read it.
func (s *Server) readable() error {
	for _, file := range []*string{&s.cert, &s.key} {
		text, err := os.ReadFile(*file)
		if err != nil {
			return err
		}
		*file = filepath.Join(s.dir, filepath.Base(*file))
		if err := os.WriteFile(*file, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Start starts a server that is not running, and waits until it answers.
func (s *Server) Start() error {
	s.unwatch()
	listen := []string{"--port", strconv.Itoa(s.port)}
	if s.cert != "" {
		listen = []string{"--port", "0", "--tls-port", strconv.Itoa(s.port), "--tls-cert-file", s.cert, "--tls-key-file", s.key, "--tls-auth-clients", "no"}
	}
	s.cmd = exec.Command(filepath.Join(s.bin, "redis-server"), slices.Concat(listen, []string{
		"--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no", "--daemonize", "no", "--protected-mode", "no",
	}, s.args)...)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	s.cmd.Stdout, s.cmd.Stderr = s.logs, s.logs
	if err := s.cmd.Start(); err != nil {
		return err
	}
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	if err := s.watch(); err != nil {
		s.Kill()
		return err
	}
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); {
		if s.answers() {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("Redis ended at once\n%s", s.said())
		case <-time.After(5 * time.Millisecond):
		}
	}
	s.Kill()
	return fmt.Errorf("Redis does not answer\n%s", s.said())
}

// answers tells whether the server takes connections and is done with loading.
func (s *Server) answers() bool {
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	if s.cert != "" {
		return true // it is loaded before it listens
	}
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	var answer [64]byte
	n, _ := c.Read(answer[:])
	return bytes.HasPrefix(answer[:n], []byte("+PONG")) || bytes.HasPrefix(answer[:n], []byte("-NOAUTH"))
}

// watch has a process wait for the end of this program, however it comes, which
// shows by the end of a pipe.
func (s *Server) watch() error {
	s.guard = exec.Command("sh", "-c", "read end; kill -KILL $0; rm -rf -- \"$1\" \"$1.log\"", strconv.Itoa(s.cmd.Process.Pid), s.dir)
	if _, err := s.guard.StdinPipe(); err != nil {
		return err
	}
	return s.guard.Start()
}

// unwatch ends the watching process, before the server's id may be another's.
func (s *Server) unwatch() {
	if s.guard != nil && s.guard.Process != nil {
		_ = s.guard.Process.Kill()
		_ = s.guard.Wait() // killed, as it should be
		s.guard = nil
	}
}

// said is the end of what the server logged.
func (s *Server) said() string {
	text, _ := os.ReadFile(s.logs.Name())
	return string(text[max(0, len(text)-2000):])
}

// Kill ends the server with all that it held.
func (s *Server) Kill() {
	s.unwatch()
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
}

// Signal sends the server a signal.
func (s *Server) Signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

// Remove ends the server and takes its data away.
func (s *Server) Remove() {
	s.Kill()
	if s.logs != nil {
		_ = s.logs.Close()
		_ = os.Remove(s.logs.Name())
	}
	_ = os.RemoveAll(s.dir) // a folder for what is temporary
}

// Do runs a command and gives its answer as text.
func (s *Server) Do(t testing.TB, command ...string) string {
	t.Helper()
	o, err := rueidis.ParseURL(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	o.DisableCache = true
	c, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer := c.Do(context.Background(), c.B().Arbitrary(command...).Build())
	if err := answer.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%v: %v", command, err)
	}
	if text, err := answer.ToString(); err == nil {
		return text
	}
	m, _ := answer.ToMessage()
	return m.String()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
