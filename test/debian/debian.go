// Package debian finds the programs that tests start, and has Debian's packages
// installed where they are missing and the test command may.
package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ErrAbsent says that a program is not installed.
var ErrAbsent = errors.New("is not installed")

// Need is some programs that stand in one folder, and the packages that bring them.
type Need struct {
	Programs []string
	Packages []string
	Dirs     func() []string // where they may be beside PATH, the best first; nil: nowhere
	// Before prepares an installation, so that nothing is started by it.
	Before func() error
}

// Folder gives the folder that holds the programs, installing the packages if the
// test command may. ErrAbsent where it may not, with the command that does.
func (n Need) Folder() (string, error) {
	if dir := n.find(); dir != "" {
		return dir, nil
	}
	absent := fmt.Errorf("%s %w; install it with: apt-get install -y %s", strings.Join(n.Programs, ", "), ErrAbsent, strings.Join(n.Packages, " "))
	if os.Getenv("AGENTAPI_TEST_SIZE") == "" || os.Getuid() != 0 {
		return "", absent
	}
	if err := n.install(); err != nil {
		return "", fmt.Errorf("%w: %w", absent, err)
	}
	if dir := n.find(); dir != "" {
		return dir, nil
	}
	return "", absent
}

func (n Need) find() string {
	var dirs []string
	if n.Dirs != nil {
		dirs = n.Dirs()
	}
	dirs = append(dirs, "/usr/sbin", "/usr/local/sbin", "/sbin")
	dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	for _, dir := range dirs {
		if !slices.ContainsFunc(n.Programs, func(name string) bool {
			info, err := os.Stat(filepath.Join(dir, name))
			return err != nil || info.IsDir()
		}) {
			return dir
		}
	}
	return ""
}

// install installs the packages, one test program after the other.
func (n Need) install() error {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "agentapi-apt.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if n.find() != "" {
		return nil
	}
	if n.Before != nil {
		if err := n.Before(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-y", "-q", "--no-install-recommends"}, n.Packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1") // no service is started
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// Unavailable ends a test that needs a program which could not be started: where it
// is absent, plain tests are skipped, and say so; the test command fails.
func Unavailable(t testing.TB, err error, external string) {
	t.Helper()
	if os.Getenv("AGENTAPI_TEST_SIZE") == "" && errors.Is(err, ErrAbsent) {
		t.Skipf("left out: %v (or name a server in %s)", err, external)
	}
	t.Fatal(err)
}

// Unprivileged is who servers run as where the tests run as root: the first of the
// users that there is. nil: the tests do not run as root.
func Unprivileged(names ...string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("the server does not run as root, and there is no user %s", strings.Join(names, " or "))
}
