// Package supply shows where the program comes from and whom it talks to.
package supply

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"agentapi/test/debian"
	"agentapi/test/kit"
)

const root = "../.."

func TestMain(m *testing.M) { kit.Main(m) }

// mostProgram is how many bytes the program may have as it is shipped.
const mostProgram = 60 << 20

// Built twice, in folders of other names and with nothing kept of the first time,
// the program is the same to the byte.
func TestTwoBuildsAreTheSameProgram(t *testing.T) {
	if kit.Size(0, 0, 1) == 0 {
		t.Skip("left out: everything is compiled twice, from the standard library on; task reproducible does it")
	}
	var sums []string
	for _, name := range []string{"a", "another-folder"} {
		dir := filepath.Join(t.TempDir(), name)
		copySource(t, dir)
		out := filepath.Join(t.TempDir(), "agentapi")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./bootstrap/agentapi")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOCACHE="+t.TempDir(), "GOFLAGS=-mod=readonly")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		program, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if len(program) > mostProgram {
			t.Errorf("the program has %d MB", len(program)>>20)
		}
		sums = append(sums, fmt.Sprintf("%x", sha256.Sum256(program)))
		if bytes.Contains(program, []byte(dir)) {
			t.Errorf("the program names the folder that it was built in, %s", dir)
		}
	}
	t.Logf("SHA-256 %v", sums)
	if sums[0] != sums[1] {
		t.Error("the two programs differ")
	}
}

// copySource copies what git has of the source.
func copySource(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	cmd.Dir = root
	names, err := cmd.Output()
	if err != nil {
		t.Skipf("left out: this is no checkout: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The bill of materials has each module that the linker put in, with its hash.
func TestTheBillOfMaterialsHasAllThatIsInTheProgram(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), kit.Binary(t), "version", "--sbom").Output()
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat, SpecVersion string
		Metadata               struct{ Component struct{ Name string } }
		Components             []struct {
			Type, Name, Version, PURL string
			Ref                       string `json:"bom-ref"`
			Properties                []struct{ Name, Value string }
		}
	}
	if err := json.Unmarshal(out, &bom); err != nil {
		t.Fatal(err)
	}
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.6" || bom.Metadata.Component.Name != "agentapi" {
		t.Errorf("it begins %.200s", out)
	}
	have := map[string]string{}
	for _, c := range bom.Components {
		if _, twice := have[c.Name]; twice || c.Type != "library" || c.Ref != c.PURL || !strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@") {
			t.Errorf("%+v", c)
		}
		have[c.Name] = c.Version
		if c.Name != "stdlib" && (len(c.Properties) != 1 || !strings.HasPrefix(c.Properties[0].Value, "h1:")) {
			t.Errorf("%s has no hash", c.Name)
		}
	}
	info, err := buildinfo.ReadFile(kit.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Deps {
		if have[m.Path] != m.Version {
			t.Errorf("%s is %q, not %s", m.Path, have[m.Path], m.Version)
		}
	}
	if len(have) != len(info.Deps)+1 || "go"+have["stdlib"] != info.GoVersion {
		t.Errorf("it has %d parts of %d, and Go %s", len(have), len(info.Deps)+1, have["stdlib"])
	}
}

// address is where a system call goes to.
var address = regexp.MustCompile(`sin6?_port=htons\((\d+)\).*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")`)

// Whatever the server sends goes to this machine, from its start through an answer to
// its end, where nothing else is configured; every call of the kernel that could send
// is looked at.
func TestTheServerCallsNobody(t *testing.T) {
	dir, err := debian.Need{Programs: []string{"strace"}, Packages: []string{"strace"}}.Folder()
	if err != nil {
		debian.Unavailable(t, err, "PATH")
	}
	port, data := kit.FreePort(t), t.TempDir()
	log := filepath.Join(data, "calls")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "strace"), "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", log, kit.Binary(t), "serve")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + data, "AGENTAPI_DATA_DIR=" + data, fmt.Sprintf("AGENTAPI_PORT=%d", port), "AGENTAPI_DEV_TOKEN=" + kit.Token}
	cmd.Dir = data
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	env := append(cmd.Env, "AGENTAPI_URL="+url, "AGENTAPI_TOKEN="+kit.Token)
	run := func(args ...string) (string, error) {
		c := exec.CommandContext(ctx, kit.Binary(t), args...)
		c.Env, c.Dir = env, data
		out, err := c.CombinedOutput()
		return string(out), err
	}
	ready := kit.Soon(40*time.Second, func() bool { _, err := run("healthcheck", "--url", url); return err == nil })
	out, chatErr := run("chat", "-m", "demo/echo", "hello")
	// strace passes the signal on to nobody: the server is its child.
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var server int
	if _, err := fmt.Sscan(string(children), &server); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(server, syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || !ready || chatErr != nil || strings.TrimSpace(out) != "hello" {
		t.Fatalf("the server was not ready, or did not answer, or end: %v, %v: %s\n%s", err, chatErr, out, said.String())
	}
	file, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	local := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		m := address.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		if to := m[2] + m[3]; !strings.HasPrefix(to, "127.") && to != "::1" {
			t.Errorf("the server calls %s, port %s: %s", to, m[1], lines.Text())
		}
		local++
	}
	if local == 0 {
		t.Error("not even the look for a local Ollama was seen: the test looks in the wrong place")
	}
}
