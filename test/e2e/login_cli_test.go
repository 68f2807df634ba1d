package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
)

// loggedIn runs agentapi login with a person who does what it says.
func loggedIn(t *testing.T, dir string, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), kit.Binary(t), append([]string{"login"}, args...)...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "AGENTAPI_DATA_DIR=" + dir}
	var stdout strings.Builder
	cmd.Stdout = &stdout
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	who := kit.NewPerson(t, "ann")
	for lines := bufio.NewScanner(io.TeeReader(errs, &said)); lines.Scan(); {
		text := strings.TrimSpace(lines.Text())
		if device := strings.Contains(said.String(), "or open "); device != (strings.HasPrefix(text, "or open ")) || !strings.Contains(text, "http://127.0.0.1") || strings.HasPrefix(text, "Logging in") || !device && strings.HasSuffix(text, "/device") {
			continue
		}
		if _, err := who.Visit(t.Context(), strings.TrimPrefix(text, "or open ")); err != nil {
			t.Error(err)
		}
	}
	_ = cmd.Wait() // the exit code says it
	return stdout.String() + said.String(), cmd.ProcessState.ExitCode()
}

func TestPeopleLogInToAServerByItsProvider(t *testing.T) {
	p := kit.NewCertified(t, kit.SigningKey(t))
	s := kit.Start(t, kit.Options{Env: []string{"OIDC_ISSUER=" + p.URL, "OIDC_AUDIENCE=https://agents.example", "OIDC_CLIENT_ID=agentapi-cli"}})
	dir := t.TempDir()
	file := filepath.Join(dir, ".config", "agentapi", "contexts.yaml")
	kept := func() string {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`token: (\S+)`).FindStringSubmatch(string(text))
		if m == nil {
			t.Fatalf("no credential in\n%s", text)
		}
		return m[1]
	}
	run := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := command(t, dir, nil, "", args...)
		if got != code {
			t.Fatalf("%v: exit %d, want %d: %s %s", args, got, code, out, errs)
		}
		return out + errs
	}
	status := func(credential string) int {
		t.Helper()
		a, err := s.Do(t.Context(), http.MethodGet, "/api/v1/me", "", "Authorization", "Bearer "+credential)
		if err != nil {
			t.Fatal(err)
		}
		return a.Status
	}

	out, code := loggedIn(t, dir, "--url", s.URL+"/v1")
	if code != 0 || !strings.Contains(out, "ann at "+s.URL+", in org_1 as org_admin") {
		t.Fatalf("exit %d: %s\n%s", code, out, s.Logs)
	}
	first := kept()
	if strings.Contains(out, first) || !strings.HasPrefix(first, "aak_") || status(first) != 200 {
		t.Errorf("the credential is %.8s…, answered %d; said is %s", first, status(first), out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its folder is %v, %v", info.Mode(), err)
	}
	var keys []struct {
		ID, Name, Role, Status string
		Expires                time.Time `json:"expires_at"`
	}
	list := func() {
		t.Helper()
		keys = nil
		if err := json.Unmarshal([]byte(run(0, "keys", "list", "--json")), &keys); err != nil {
			t.Fatal(err)
		}
	}
	list()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 1 || keys[0].Name != "login on "+host || keys[0].Role != "org_admin" || time.Until(keys[0].Expires) < 29*24*time.Hour || time.Until(keys[0].Expires) > 30*24*time.Hour {
		t.Errorf("the key is %+v", keys)
	}

	// Once more, in the same context: there is one key that is good.
	if out, code := loggedIn(t, dir, "--device", "--expires", "1h", "--role", "org_member"); code != 0 {
		t.Fatalf("on another device: exit %d: %s\n%s", code, out, s.Logs)
	}
	second := kept()
	list()
	if len(keys) != 2 || status(first) != 401 || status(second) != 200 {
		t.Errorf("the first is answered %d, the second %d: %+v", status(first), status(second), keys)
	}
	if got := run(0, "context", "list"); strings.Count(got, s.URL) != 1 {
		t.Errorf("the contexts are\n%s", got)
	}

	if out, code := loggedIn(t, dir, "--url", s.URL, "--token", "--context", "short"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	if got := run(0, "context", "show", "--json"); !strings.Contains(got, `"name":"short"`) || !strings.Contains(got, `"api_key_id":""`) || strings.Contains(got, `"expires_at":null`) {
		t.Errorf("shown as %s", got)
	}
	run(0, "sessions", "list")
	if got := run(0, "logout", "--context", "short"); !strings.Contains(got, "stays good until it expires") {
		t.Errorf("said is %s", got)
	}

	name := strings.TrimPrefix(s.URL, "http://")
	run(0, "logout", "--context", name)
	if status(second) != 401 {
		t.Errorf("after the logout the key is answered %d", status(second))
	}
	if got := run(0, "context", "list", "--json"); strings.TrimSpace(got) != "[]" {
		t.Errorf("left are %s", got)
	}
	if logs := s.Logs.String(); strings.Contains(logs, first) || strings.Contains(logs, second) {
		t.Error("the log holds a key")
	}
}

func TestALoginWithAKeyOfOnesOwn(t *testing.T) {
	s := kit.Start(t, kit.Options{})
	dir := t.TempDir()
	login := func(stdin string, args ...string) (string, int) {
		out, errs, code := command(t, dir, nil, stdin, append([]string{"login"}, args...)...)
		return out + errs, code
	}
	for name, c := range map[string]struct {
		stdin string
		args  []string
		code  int
		says  string
	}{
		"a key that the server does not take":  {"sk-wrong", []string{"--url", s.URL, "--stdin"}, 1, "does not take this credential"},
		"no key":                               {"\n", []string{"--url", s.URL, "--stdin"}, 2, "no credential"},
		"two ways at once":                     {"x", []string{"--url", s.URL, "--stdin", "--device"}, 2, "stdin"},
		"a server that is not there":           {"x", []string{"--url", "http://127.0.0.1:1", "--stdin"}, 4, "no server answers"},
		"a credential that goes in the open":   {kit.Token, []string{"--url", "http://agents.example", "--stdin"}, 2, "no address to log in to"},
		"an address with a password":           {kit.Token, []string{"--url", "https://a:b@agents.example", "--stdin"}, 2, "no address to log in to"},
		"a name that steers the terminal":      {kit.Token, []string{"--url", s.URL, "--stdin", "--context", "a\x1b[31m"}, 2, "no name of a context"},
		"a server without a provider":          {"", []string{"--url", s.URL}, 1, "names no provider"},
		"a provider that does not answer":      {"", []string{"--url", s.URL, "--issuer", "http://127.0.0.1:1", "--client-id", "x"}, 4, "does not say how to log in"},
		"a provider that is asked in the open": {"", []string{"--url", s.URL, "--issuer", "http://a.example", "--client-id", "x"}, 1, "no https:// address"},
	} {
		if out, code := login(c.stdin, c.args...); code != c.code || !strings.Contains(out, c.says) || strings.Contains(out, "sk-wrong") {
			t.Errorf("%s: exit %d, want %d: %s", name, code, c.code, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, ".config")); err == nil {
		t.Error("something is kept of logins that failed")
	}
	if out, code := login(kit.Token+"\n", "--url", s.URL, "--stdin", "--context", "mine"); code != 0 || !strings.Contains(out, "dev at "+s.URL) || strings.Contains(out, kit.Token) {
		t.Fatalf("exit %d: %s", code, out)
	}
	if out, errs, code := command(t, dir, nil, "", "chat", "-m", "demo/echo", "hello", "--context", "mine"); code != 0 || out != "hello\n" {
		t.Errorf("exit %d: %s %s", code, out, errs)
	}
	if out, errs, code := command(t, dir, nil, "", "logout"); code != 0 {
		t.Errorf("exit %d: %s %s", code, out, errs)
	}
}

func TestALoginIsForTheServerThatItNames(t *testing.T) {
	issuer := kit.NewIssuer(t)
	s := kit.Start(t, kit.Options{Env: []string{"OIDC_ISSUER=" + issuer.URL, "OIDC_CLIENT_ID=cli"}})
	a, err := s.Do(t.Context(), http.MethodGet, "/.well-known/oauth-protected-resource", "", "Authorization", "")
	if err != nil || a.Status != 200 {
		t.Fatalf("%d %s, %v", a.Status, a.Body, err)
	}
	if want := `{"resource":"` + s.URL + `","authorization_servers":["` + issuer.URL + `"],"bearer_methods_supported":["header"],"resource_name":"AgentAPI","agentapi_logins":[{"issuer":"` + issuer.URL + `","client_id":"cli","audience":"","scopes":[]}]}`; a.Body != want {
		t.Errorf("got  %s\nwant %s", a.Body, want)
	}
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(at); r.Out.Host = at.Host }})
	defer proxy.Close()
	out, errs, code := command(t, t.TempDir(), nil, "", "login", "--url", proxy.URL)
	if code != 5 || !strings.Contains(errs, "says that it is "+s.URL) {
		t.Errorf("exit %d: %s %s", code, out, errs)
	}
}

func TestALoginThatNobodyFinishesLeavesNothing(t *testing.T) {
	p := kit.NewCertified(t, kit.SigningKey(t))
	s := kit.Start(t, kit.Options{Env: []string{"OIDC_ISSUER=" + p.URL, "OIDC_AUDIENCE=https://agents.example", "OIDC_CLIENT_ID=agentapi-cli"}})
	dir := t.TempDir()
	began := time.Now()
	out, errs, code := command(t, dir, nil, "", "login", "--url", s.URL, "--timeout", "300ms")
	if code != 1 || !strings.Contains(errs, "Nobody has logged in in time") || !strings.Contains(errs, "--device") || time.Since(began) > 10*time.Second {
		t.Errorf("exit %d after %v: %s %s", code, time.Since(began), out, errs)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if out, errs, code := command(t, dir, nil, "", "login", "--url", "http://"+silent.Addr().String(), "--timeout", "300ms"); code != 4 || !strings.Contains(errs, "does not answer in time") {
		t.Errorf("a server that is silent: exit %d %s %s", code, out, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, ".config")); err == nil {
		t.Error("something is kept")
	}
}

func TestALogoutThatDoesNotReachTheServerKeepsTheContext(t *testing.T) {
	dir, file := home(t, "current: work\ncontexts: {work: {url: 'http://127.0.0.1:1', token: aak_x, key: key_1}}\n")
	if _, errs, code := command(t, dir, nil, "", "logout"); code != 4 || !strings.Contains(errs, "agentapi context remove work") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "key_1") {
		t.Errorf("left is %s, %v", text, err)
	}
}
