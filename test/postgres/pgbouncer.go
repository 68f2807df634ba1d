package postgres

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"agentapi/test/debian"
)

// Bouncer is a PgBouncer in transaction mode before a server.
type Bouncer struct {
	Addr string // host and port

	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// poolSize is how many connections a bouncer has to the server for each database
// and role: fewer than its clients have, so that they share.
const poolSize = 3

// Pooled gives a PgBouncer before the server s, for one test.
func (s *Server) Pooled(t testing.TB) *Bouncer {
	t.Helper()
	b, err := s.bounce()
	if err != nil {
		debian.Unavailable(t, err, External)
	}
	t.Cleanup(b.stop)
	return b
}

func (s *Server) bounce() (_ *Bouncer, err error) {
	bin, err := needs("pgbouncer").Folder()
	if err != nil {
		return nil, err
	}
	as, err := debian.Unprivileged("postgres", "nobody")
	if err != nil {
		return nil, err
	}
	b := &Bouncer{}
	if b.dir, err = os.MkdirTemp("", "agentapi-pgbouncer-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.stop()
		}
	}()
	if as != nil {
		if err := os.Chown(b.dir, int(as.Uid), int(as.Gid)); err != nil {
			return nil, err
		}
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	b.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	host, upstream, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, err
	}
	// It asks the server for passwords, and logs in as whoever has logged in here.
	name := s.admin.User.Username()
	password, _ := s.admin.User.Password()
	users := filepath.Join(b.dir, "users")
	if err := os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", name, password), 0o644); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %s
auth_user = %s
pool_mode = transaction
default_pool_size = %d
max_client_conn = 500
server_reset_query =
server_login_retry = 1
log_connections = 0
log_disconnections = 0
`, host, upstream, port, users, name, poolSize)
	file := filepath.Join(b.dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	b.cmd = exec.Command(filepath.Join(bin, "pgbouncer"), "-q", file)
	b.cmd.Dir, b.cmd.SysProcAttr = b.dir, &syscall.SysProcAttr{Credential: as}
	logs, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	b.cmd.Stdout, b.cmd.Stderr = logs, logs
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	b.exited = make(chan struct{})
	go func() {
		_ = b.cmd.Wait()
		close(b.exited)
	}()
	for until := time.Now().Add(10 * time.Second); ; {
		if c, err := net.Dial("tcp", b.Addr); err == nil {
			return b, c.Close()
		}
		select {
		case <-b.exited:
			text, _ := os.ReadFile(logs.Name())
			return nil, fmt.Errorf("PgBouncer ended at once\n%s", text)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(until) {
			return nil, fmt.Errorf("PgBouncer does not listen")
		}
	}
}

func (b *Bouncer) stop() {
	if b.exited != nil {
		_ = b.cmd.Process.Kill()
		<-b.exited
	}
	_ = os.RemoveAll(b.dir) // a folder for what is temporary
}
