package e2e

import (
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
)

func TestATokenThatIsMadeIsTakenOnceItIsConfigured(t *testing.T) {
	dir := t.TempDir()
	made, errs, code := command(t, dir, nil, "", "token", "create", "ann", "--org", "acme", "--role", "org_admin")
	token := regexp.MustCompile(`token: (sk-agentapi-dev-[a-z2-7]{32})`).FindStringSubmatch(made)
	if code != 0 || token == nil || errs != "" {
		t.Fatalf("exit %d: %s %s", code, made, errs)
	}
	s := kit.Start(t, kit.Options{Config: made})
	a, err := s.Do(t.Context(), http.MethodGet, "/api/v1/me", "", "Authorization", "Bearer "+token[1])
	if err != nil || a.Status != 200 || !strings.Contains(a.Body, `"subject":"ann"`) || !strings.Contains(a.Body, `"role":"org_admin"`) {
		t.Errorf("%d %s, %v", a.Status, a.Body, err)
	}
	if again, _, _ := command(t, dir, nil, "", "token", "create", "ann"); again == "" || strings.Contains(again, token[1]) {
		t.Error("two are the same")
	}
	for name, c := range map[string]struct {
		env  []string
		args []string
		code int
		says string
	}{
		"a role that there is not":            {nil, []string{"--role", "boss"}, 2, "role"},
		"no organisation":                     {nil, []string{"--org", ""}, 2, "needs an org and a user"},
		"a server that does not ask dev":      {[]string{"OIDC_ISSUER=https://a.example"}, nil, 0, "where dev stands in it"},
		"a server that has some already":      {[]string{"AGENTAPI_CONFIG=" + filepath.Join(s.Dir, "agentapi.yaml")}, nil, 0, "put the entry among them"},
		"a configuration that cannot be read": {[]string{"AGENTAPI_CONFIG=/nowhere.yaml"}, nil, 3, "cannot be read"},
	} {
		if out, errs, code := command(t, dir, c.env, "", append([]string{"token", "create", "ben"}, c.args...)...); code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%s: exit %d, want %d: %s %s", name, code, c.code, out, errs)
		}
	}
}

func TestAShellReadsServerAndTokenForOpenAIsClients(t *testing.T) {
	dir, _ := home(t, "current: odd\ncontexts: {odd: {url: 'https://a.example', token: \"it's $HOME `x`\"}}\n")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `eval "$("$0" token env)"; printf '%s|%s' "$OPENAI_BASE_URL" "$OPENAI_API_KEY"`, kit.Binary(t))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	out, err := cmd.Output()
	if want := "https://a.example/v1|it's $HOME `x`"; err != nil || string(out) != want {
		t.Errorf("got %s, %v, want %s", out, err, want)
	}
	if _, errs, code := command(t, t.TempDir(), nil, "", "token", "env"); code != 1 || !strings.Contains(errs, "no credential") {
		t.Errorf("without a credential: exit %d %s", code, errs)
	}
}

// inspected runs agentapi token inspect with a token on the standard input.
func inspected(t *testing.T, issuer, token string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), kit.Binary(t), "token", "inspect", "-")
	dir := t.TempDir()
	cmd.Dir, cmd.Env, cmd.Stdin = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "OIDC_ISSUER=" + issuer, "OIDC_AUDIENCE=api"}, strings.NewReader(token)
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

func TestEachCheckThatATokenFailsIsExplained(t *testing.T) {
	issuer, stranger := kit.NewIssuer(t), kit.NewIssuer(t)
	api := map[string]any{"aud": "api"}
	good := issuer.Token(t, api)
	head := func(h string) string {
		_, rest, _ := strings.Cut(good, ".")
		return base64.RawURLEncoding.EncodeToString([]byte(h)) + "." + rest
	}
	unsigned := head(`{"alg":"none"}`)
	unsigned = unsigned[:strings.LastIndex(unsigned, ".")+1]
	hour := func(n int) int64 { return time.Now().Add(time.Duration(n) * time.Hour).Unix() }
	for name, c := range map[string]struct {
		token string
		says  []string
	}{
		"none: no signature, and no key": {unsigned, []string{`✗ header     alg is "none"; it must be one of RS256, ES256; kid is missing`, "✓ issuer", "✓ audience", "✗ signature  cannot be checked: the header does not say by which key and how"}},
		"HS256":                          {head(`{"alg":"HS256","kid":"key-1"}`), []string{`✗ header     alg is "HS256"; it must be one of RS256, ES256`, "✗ signature"}},
		"no kid":                         {head(`{"alg":"ES256"}`), []string{"✗ header     kid is missing"}},
		"a kid that nobody has":          {head(`{"alg":"ES256","kid":"key-7"}`), []string{"✓ header", "✗ signature  the provider has no such key"}},
		"another issuer":                 {stranger.Token(t, api), []string{"✗ issuer     iss is \"" + stranger.URL + "\", which is none of identity.oidc.issuers", "✗ signature  cannot be checked without a known issuer"}},
		"another audience":               {issuer.Token(t, map[string]any{"aud": "other"}), []string{`✗ audience   aud is ["other"]; it must hold one of ["api"]`, "✓ signature"}},
		"no audience":                    {issuer.Token(t, nil), []string{"✗ audience   aud is []"}},
		"expired":                        {issuer.Token(t, map[string]any{"aud": "api", "iat": hour(-2), "exp": hour(-1)}), []string{"✗ times      it expired at", "✓ signature"}},
		"not good yet, and for too long": {issuer.Token(t, map[string]any{"aud": "api", "nbf": hour(1), "exp": hour(48)}), []string{"it is not good before", "it is good for 48h"}},
		"another's signature":            {stranger.Token(t, map[string]any{"aud": "api", "iss": issuer.URL}), []string{"✓ times", "✗ signature  failed to verify signature: it was not made with the issuer's key"}},
		"no subject":                     {issuer.Token(t, map[string]any{"aud": "api", "sub": nil}), []string{"✗ claims     sub"}},
		"no JWT":                         {"sk-agentapi-dev-none", []string{"✗ form       it is no JWT"}},
		"a JWT in five parts":            {good + ".x.y", []string{"✗ form       it is no JWT"}},
	} {
		out, code := inspected(t, issuer.URL, c.token)
		if code != 5 || !strings.Contains(out, "the token would be refused") {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
		for _, want := range c.says {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", name, want, out)
			}
		}
	}
}
