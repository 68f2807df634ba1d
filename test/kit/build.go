package kit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

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

// Plain leaves a test out where the tests shall be over soon, and says why.
func Plain(t testing.TB, why string) {
	t.Helper()
	if Size(1, 0, 0) == 1 {
		t.Skip("left out: " + why + "; the test command runs it (AGENTAPI_TEST_SIZE=smoke)")
	}
}

// built is the folder of the programs that were built, while there is one.
var built = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "agentapi-kit-") })

var (
	binary    = sync.OnceValues(func() (string, error) { return build("agentapi/bootstrap/agentapi") })
	fakeAgent = sync.OnceValues(func() (string, error) { return build("agentapi/test/fakeagent") })
)

func build(pkg string) (string, error) {
	dir, err := built()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(pkg))
	if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// Binary gives the server, which is built once for each test program.
func Binary(t testing.TB) string { return program(t, binary) }

// Program builds another program of this module.
func Program(t testing.TB, pkg string) string {
	return program(t, func() (string, error) { return build(pkg) })
}

// FakeAgent gives the agent that misbehaves as it is told.
func FakeAgent(t testing.TB) string { return program(t, fakeAgent) }

func program(t testing.TB, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Main runs a package's tests and what shall happen last, takes away what was
// built for them and fails where a goroutine or a process of theirs is left.
func Main(m *testing.M, last ...func()) {
	code := m.Run()
	for _, f := range last {
		f()
	}
	if dir, err := built(); err == nil {
		for _, p := range left(dir) {
			fmt.Fprintf(os.Stderr, "a process is left: %s\n", p)
			code = max(code, 1)
		}
		_ = os.RemoveAll(dir) // a folder for what is temporary
	}
	if code == 0 {
		if err := goroutines(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
