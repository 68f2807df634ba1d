// Package postgres starts real PostgreSQL servers and PgBouncers for tests: on
// loopback, on free ports, with data that is thrown away.
package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // for Look
	"go.uber.org/goleak"

	"agentapi/test/clock"
	"agentapi/test/debian"
)

// External names the variable with the address of a server to use instead: as a
// superuser's postgres://user:password@host:port/database.
const External = "AGENTAPI_TEST_POSTGRES"

// super is the superuser of a server that is started here, without a password.
const super = "postgres"

// Server is a PostgreSQL server.
type Server struct {
	Addr string // host and port

	admin  *url.URL // as a superuser
	clock  *clock.Clock
	dir    string // its data; empty: it is somebody else's
	bin    string
	as     *syscall.Credential
	port   int
	cmd    *exec.Cmd
	logs   *os.File
	exited chan struct{}
	guard  *exec.Cmd // ends the server should this program die
}

var shared = struct {
	sync.Mutex
	server *Server
	err    error
}{}

// Shared gives the server that all tests of a program use, which Main stops. It
// skips the test where the tests shall be over soon and no server can be had.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		if address := os.Getenv(External); address != "" {
			shared.server, shared.err = external(address)
		} else {
			shared.server, shared.err = launch(nil)
		}
	}
	if shared.err != nil {
		debian.Unavailable(t, shared.err, External)
	}
	return shared.server
}

// Main runs a package's tests, stops the server that they shared, and fails where
// a goroutine is left.
func Main(m *testing.M) {
	code := m.Run()
	Stop()
	if code == 0 {
		// The proxy that fails at will leaves its own behind at times.
		if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Stop stops the server that a program's tests have shared, if they did.
func Stop() {
	if shared.server != nil && shared.server.dir != "" {
		shared.server.Remove()
	}
}

// New starts a server for one test alone, which may kill it.
func New(t testing.TB) *Server { return By(t, nil) }

// By is New for a server that goes by a clock; nil: by the true time.
func By(t testing.TB, c *clock.Clock) *Server {
	t.Helper()
	s, err := launch(c)
	if err != nil {
		debian.Unavailable(t, err, External)
	}
	t.Cleanup(s.Remove)
	return s
}

func external(address string) (*Server, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%s is no address of a server", External)
	}
	return &Server{Addr: u.Host, admin: u}, nil
}

// launch makes a cluster and starts it.
func launch(c *clock.Clock) (_ *Server, err error) {
	s := &Server{clock: c}
	if s.bin, err = needs("initdb", "postgres").Folder(); err != nil {
		return nil, err
	}
	if s.as, err = debian.Unprivileged("postgres", "nobody"); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "agentapi-pg-"); err != nil {
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
	init := s.command("initdb", "-D", filepath.Join(s.dir, "data"), "-U", super, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	// The superuser may in as it is, all others with their passwords.
	rules := "host all " + super + " 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(s.dir, "data", "pg_hba.conf"), []byte(rules), 0o644); err != nil {
		return nil, err
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	s.admin = &url.URL{Scheme: "postgres", User: url.User(super), Host: s.Addr, Path: "/postgres", RawQuery: "sslmode=disable"}
	return s, s.Start()
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.Env = s.dir, append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}, s.clock.Env()...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: 0}
	return cmd
}

// Start starts a server that is not running, and waits until it answers.
func (s *Server) Start() error {
	for until := time.Now().Add(30 * time.Second); ; {
		err := s.start()
		if err == nil || time.Now().After(until) {
			return err
		}
		// What a killed server left may need a moment until it is gone.
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *Server) start() error {
	s.unwatch() // of a start that failed
	s.cmd = s.command("postgres", "-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.port), "-k", s.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60", "-c", "shared_buffers=64MB", "-c", "logging_collector=off",
		"-c", "max_wal_size=1GB", "-c", "log_min_messages=warning", "-c", "log_min_error_statement=panic")
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
		if c, err := s.admins(context.Background(), "postgres"); err == nil {
			_ = c.Close(context.Background())
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("PostgreSQL ended at once\n%s", s.said())
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.Kill()
	return fmt.Errorf("PostgreSQL does not answer\n%s", s.said())
}

// watch has a process wait for the end of this program, however it comes, which
// shows by the end of a pipe.
func (s *Server) watch() error {
	s.guard = exec.Command("sh", "-c", "read end; kill -QUIT $0; sleep 2; rm -rf -- \"$1\" \"$1.log\"", strconv.Itoa(s.cmd.Process.Pid), s.dir)
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

// Kill ends the server as kill -9 of its first process does.
func (s *Server) Kill() {
	s.unwatch()
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
}

// Signal sends a signal to the server's first process.
func (s *Server) Signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

// Remove ends the server and takes its data away.
func (s *Server) Remove() {
	s.unwatch()
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // at once, children included
		select {
		case <-s.exited:
		case <-time.After(10 * time.Second):
			s.Kill()
		}
	}
	if s.logs != nil {
		_ = s.logs.Close()
		_ = os.Remove(s.logs.Name())
	}
	_ = os.RemoveAll(s.dir) // a folder for what is temporary
}

func (s *Server) admins(ctx context.Context, database string) (*pgx.Conn, error) {
	u := *s.admin
	u.Path = "/" + database
	c, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, err
	}
	c.ConnectTimeout = 2 * time.Second
	return pgx.ConnectConfig(ctx, c)
}

// Admin runs statements as a superuser in a database.
func (s *Server) Admin(t testing.TB, database string, statements ...string) {
	t.Helper()
	c, err := s.admins(context.WithoutCancel(t.Context()), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	for _, text := range statements {
		if _, err := c.Exec(context.Background(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// Look opens a database as a superuser, who sees all rows.
func (s *Server) Look(t testing.TB, database string) *sql.DB {
	t.Helper()
	u := *s.admin
	u.Path = "/" + database
	db, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// Database is a database of a test's own, with two login roles: one who owns it,
// and one who is to be the server's.
type Database struct {
	Server *Server
	Name   string
	Owner  string // the owner's address
	App    string // the server's address; the role is made by whoever migrates
	Role   string // the server's role
}

// At is an address of the database by way of another host and port.
func (d *Database) At(address, hostPort string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err) // it was made here
	}
	u.Host = hostPort
	return u.String()
}

// Fresh makes an empty database, which is dropped with the test.
func (s *Server) Fresh(t testing.TB) *Database {
	t.Helper()
	var b [6]byte
	rand.Read(b[:])
	name := "t_" + hex.EncodeToString(b[:])
	d := &Database{Server: s, Name: name, Role: name + "_app"}
	address := func(role string) string {
		return (&url.URL{Scheme: "postgres", User: url.UserPassword(role, "pass word/"+role), Host: s.Addr, Path: "/" + name, RawQuery: "sslmode=disable"}).String()
	}
	d.Owner, d.App = address(name), address(d.Role)
	s.Admin(t, "postgres", fmt.Sprintf("CREATE ROLE %s LOGIN CREATEROLE PASSWORD 'pass word/%s'", name, name), fmt.Sprintf("CREATE DATABASE %s OWNER %s", name, name))
	t.Cleanup(func() {
		c, err := s.admins(context.Background(), "postgres")
		if err != nil {
			return // the server was taken down with all that it held
		}
		defer func() { _ = c.Close(context.Background()) }()
		for _, text := range []string{"DROP DATABASE " + name + " WITH (FORCE)", "DROP ROLE IF EXISTS " + d.Role, "DROP ROLE " + name} {
			if _, err := c.Exec(context.Background(), text); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	})
	return d
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// needs is what brings some of the programs of PostgreSQL and PgBouncer. No cluster
// is made by installing them, and nothing is started.
func needs(programs ...string) debian.Need {
	return debian.Need{
		Programs: programs, Packages: []string{"postgresql", "pgbouncer"},
		Dirs: func() []string {
			dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is right
			slices.SortFunc(dirs, func(a, b string) int { return release(b) - release(a) })
			return dirs
		},
		Before: func() error {
			const quiet = "/etc/postgresql-common/createcluster.conf"
			if _, err := os.Stat(quiet); !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return errors.Join(os.MkdirAll(filepath.Dir(quiet), 0o755), os.WriteFile(quiet, []byte("create_main_cluster = false\nstart_conf = manual\n"), 0o644))
		},
	}
}

func release(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))) // what is no number comes last
	return n
}
