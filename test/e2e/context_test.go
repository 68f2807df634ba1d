package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"agentapi/test/kit"
)

// home is a user's folder with a file of contexts in it.
func home(t *testing.T, contexts string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, ".config", "agentapi", "contexts.yaml")
	if contexts == "" {
		return dir, file
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(contexts), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// ear is a server that hears which credential comes to it.
func ear(t *testing.T) (url string, heard *atomic.Value) {
	t.Helper()
	heard = &atomic.Value{}
	heard.Store("")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard.Store(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		fmt.Fprint(w, `{"object":"list","data":[],"has_more":false}`)
	}))
	t.Cleanup(s.Close)
	return s.URL, heard
}

func TestTheServerIsTheFlagsElseTheVariablesElseTheCurrentContextsElseThisMachines(t *testing.T) {
	work, atWork := ear(t)
	lab, atLab := ear(t)
	local, atLocal := ear(t)
	dir, _ := home(t, fmt.Sprintf("current: work\ncontexts:\n  work: {url: %q, token: token-work}\n  lab: {url: %q, token: token-lab}\n", work, lab))
	data := t.TempDir()
	for name, text := range map[string]string{"address": local, "dev-token": "token-local"} {
		if err := os.WriteFile(filepath.Join(data, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bare := t.TempDir()
	for name, c := range map[string]struct {
		home string
		env  []string
		args []string
		at   *atomic.Value
		with string
	}{
		"the flag's, with its token, whatever the variables say":   {dir, []string{"AGENTAPI_URL=" + work, "AGENTAPI_TOKEN=token-env"}, []string{"--context", "lab"}, atLab, "token-lab"},
		"the variables', whatever the current context is":          {dir, []string{"AGENTAPI_URL=" + lab, "AGENTAPI_TOKEN=token-env"}, nil, atLab, "token-env"},
		"the variable's, without another server's token":           {dir, []string{"AGENTAPI_URL=" + lab}, nil, atLab, "token-local"},
		"the variable's, with the token of the context that it is": {dir, []string{"AGENTAPI_URL=" + work + "/v1"}, nil, atWork, "token-work"},
		"the current context's, with the variable's token":         {dir, []string{"AGENTAPI_TOKEN=token-env"}, nil, atWork, "token-env"},
		"the current context's":                                    {dir, nil, nil, atWork, "token-work"},
		"this machine's, where there is no context":                {bare, nil, nil, atLocal, "token-local"},
	} {
		for _, cmd := range [][]string{{"sessions", "list"}, {"keys", "list"}, {"admin", "get", "platform/orgs"}} {
			for _, h := range []*atomic.Value{atWork, atLab, atLocal} {
				h.Store("")
			}
			env := append([]string{"HOME=" + c.home, "AGENTAPI_DATA_DIR=" + data}, c.env...)
			_, errs, code := command(t, t.TempDir(), env, "", append(cmd, c.args...)...)
			for _, h := range []*atomic.Value{atWork, atLab, atLocal} {
				want := ""
				if h == c.at {
					want = c.with
				}
				if got := h.Load(); got != want {
					t.Errorf("%v: %s: a server hears %q, want %q (exit %d %s)", cmd, name, got, want, code, errs)
				}
			}
		}
	}
}

func TestThisMachinesTokenGoesToNoOther(t *testing.T) {
	here, atHere := ear(t)
	proxy, atOther := ear(t)
	atOther.Store("nothing")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dev-token"), []byte(kit.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{here, "http://other.example"} {
		if _, errs, code := command(t, dir, []string{"AGENTAPI_URL=" + url, "HTTP_PROXY=" + proxy}, "", "sessions", "list"); code != 0 {
			t.Errorf("%s: exit %d %s", url, code, errs)
		}
	}
	if got := atHere.Load(); got != kit.Token {
		t.Errorf("this machine's server hears %q", got)
	}
	if got := atOther.Load(); got != "" {
		t.Errorf("another machine's hears %q", got)
	}
}

func TestContextsAreListedChosenShownAndRemovedWithoutTheirCredentials(t *testing.T) {
	dir, file := home(t, "current: work\ncontexts:\n  work: {url: 'https://work.example', token: sk-secret-work, key: key_1, user: ann, expires: 2030-01-02T03:04:05Z}\n  lab: {url: 'http://127.0.0.1:1', token: sk-secret-lab}\n")
	run := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := command(t, t.TempDir(), []string{"HOME=" + dir}, "", args...)
		if got != code {
			t.Fatalf("%v: exit %d, want %d: %s %s", args, got, code, out, errs)
		}
		if all := out + errs; strings.Contains(all, "sk-secret") {
			t.Errorf("%v shows a credential: %s", args, all)
		}
		return out + errs
	}
	if got := run(0, "context", "list"); !strings.Contains(got, "*        work  https://work.example  ann   2030-01-02T03:04:05Z") || !strings.Contains(got, "         lab   http://127.0.0.1:1          never") {
		t.Errorf("listed as\n%s", got)
	}
	if got := run(0, "context", "list", "--json"); !strings.Contains(got, `{"name":"work","current":true,"url":"https://work.example","user":"ann","api_key_id":"key_1","expires_at":"2030-01-02T03:04:05Z"}`) {
		t.Errorf("listed as %s", got)
	}
	if got := run(0, "context", "show"); !strings.Contains(got, "https://work.example") || !strings.Contains(got, "key_1") {
		t.Errorf("shown as\n%s", got)
	}
	run(0, "context", "use", "lab")
	if got := run(0, "context", "show", "--json"); !strings.Contains(got, `"name":"lab","current":true`) {
		t.Errorf("the current one is %s", got)
	}
	if got := run(2, "context", "use", "other"); !strings.Contains(got, "there are lab, work") {
		t.Errorf("one that is not there: %s", got)
	}
	if got := run(0, "context", "remove", "work"); !strings.Contains(got, "key_1 stays good") {
		t.Errorf("removed with %s", got)
	}
	run(0, "context", "remove", "lab")
	run(2, "context", "show")
	run(2, "sessions", "list", "--context", "lab")
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "sk-secret") {
		t.Errorf("what is left is %s, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestAFileOfContextsThatOthersCanReadIsNotUsed(t *testing.T) {
	const good = "current: work\ncontexts: {work: {url: 'http://127.0.0.1:1', token: sk-secret}}\n"
	for name, c := range map[string]struct {
		text   string
		file   os.FileMode
		folder os.FileMode
		says   string
	}{
		"readable by the group":       {good, 0o640, 0o700, "chmod 600"},
		"readable by all":             {good, 0o604, 0o700, "chmod 600"},
		"in a folder that others own": {good, 0o600, 0o777, "chmod 700"},
		"not ours":                    {"current: sk-secret\nother: 1\n", 0o600, 0o700, "is not as agentapi writes it"},
		"cut short":                   {good[:len(good)-9], 0o600, 0o700, "is not as agentapi writes it"},
		"without what is current":     {"current: work\n", 0o600, 0o700, "is not as agentapi writes it"},
	} {
		dir, file := home(t, c.text)
		if err := os.Chmod(file, c.file); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Dir(file), c.folder); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"context", "list"}, {"sessions", "list"}} {
			out, errs, code := command(t, t.TempDir(), []string{"HOME=" + dir}, "", args...)
			if code != 3 || !strings.Contains(errs, c.says) || strings.Contains(out+errs, "sk-secret") {
				t.Errorf("%s, %v: exit %d %s %s", name, args, code, out, errs)
			}
		}
	}
}
