package e2e

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"agentapi/test/kit"
)

func TestCallersLogInByAProvider(t *testing.T) {
	issuer, stranger := kit.NewIssuer(t), kit.NewIssuer(t)
	s := kit.Start(t, kit.Options{Env: []string{"OIDC_ISSUER=" + issuer.URL, "OIDC_AUDIENCE=api"}})
	ask := func(token string) kit.Answer {
		return s.Chat(t, kit.Ask("demo/echo", "hello"), "Authorization", "Bearer "+token)
	}
	good := issuer.Token(t, map[string]any{"aud": "api"})
	for range 2 {
		if a := ask(good); a.Status != http.StatusOK || !strings.Contains(a.Body, "hello") {
			t.Fatalf("a good token: %d %s\n%s", a.Status, a.Body, s.Logs)
		}
	}
	forged := stranger.Token(t, map[string]any{"aud": "api", "iss": issuer.URL})
	for name, token := range map[string]string{
		"another's signature": forged,
		"expired":             issuer.Token(t, map[string]any{"aud": "api", "iat": time.Now().Add(-time.Hour).Unix(), "exp": time.Now().Add(-time.Hour / 2).Unix()}),
		"for somebody else":   issuer.Token(t, map[string]any{"aud": "other"}),
		"another's":           stranger.Token(t, map[string]any{"aud": "api"}),
		"of development":      kit.Token,
		"a changed one":       good[:len(good)-4] + "AAAA",
	} {
		a := ask(token)
		if a.Status != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") || !strings.Contains(a.Body, "invalid_api_key") {
			t.Errorf("%s: got %d %v %s", name, a.Status, a.Header, a.Body)
		}
		if strings.Contains(a.Body, "aud") || strings.Contains(a.Body, "expired") {
			t.Errorf("%s: its caller is told why: %s", name, a.Body)
		}
		if _, at, _ := strings.Cut(a.Header.Get("WWW-Authenticate"), `resource_metadata="`); at != s.URL+`/.well-known/oauth-protected-resource", error="invalid_token"` {
			t.Errorf("%s: it is not said where credentials are got: %v", name, a.Header)
		}
	}
	if a := ask(issuer.Token(t, map[string]any{"aud": "api", "org_id": nil})); a.Status != http.StatusForbidden || !strings.Contains(a.Body, "org_required") {
		t.Errorf("without an organisation: %d %s", a.Status, a.Body)
	}

	// The log says why, and no token.
	for until := time.Now().Add(5 * time.Second); !strings.Contains(s.Logs.String(), "it expired at"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("the log does not say why:\n%s", s.Logs)
		}
	}
	if text := s.Logs.String(); strings.Contains(text, strings.Split(good, ".")[2]) || strings.Contains(text, strings.Split(forged, ".")[1]) {
		t.Error("the log holds a token")
	}
	if !strings.Contains(s.Logs.String(), "tokens of "+issuer.URL) {
		t.Errorf("the banner does not say who is believed:\n%s", s.Logs)
	}
}

func TestATokenThatCannotBeCheckedIsNotRefused(t *testing.T) {
	issuer := kit.NewIssuer(t)
	issuer.Away.Store(true)
	s := kit.Start(t, kit.Options{Env: []string{"OIDC_ISSUER=" + issuer.URL}})
	a := s.Chat(t, kit.Ask("demo/echo", "hello"), "Authorization", "Bearer "+issuer.Token(t, nil))
	if a.Status != http.StatusServiceUnavailable || !strings.Contains(a.Body, "auth_unavailable") || a.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %v %s", a.Status, a.Header, a.Body)
	}
	if a := s.Chat(t, kit.Ask("demo/echo", "hello"), "Authorization", "Bearer sk-none"); a.Status != http.StatusUnauthorized {
		t.Errorf("what is no token of the provider's: got %d", a.Status)
	}
}

func TestTokensAreExplained(t *testing.T) {
	issuer, stranger := kit.NewIssuer(t), kit.NewIssuer(t)
	run := func(code int, says string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), kit.Binary(t), args...)
		dir := t.TempDir()
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "OIDC_ISSUER=" + issuer.URL, "AGENTAPI_PORT=0"}
		out, err := cmd.CombinedOutput()
		got := 0
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			got = exit.ExitCode()
		}
		if got != code || !strings.Contains(string(out), says) {
			t.Errorf("%s: got %d, want %d with %q\n%s", args[0], got, code, says, out)
		}
	}
	good := issuer.Token(t, nil)
	run(0, "The token would be taken.", "token", "inspect", good)
	run(5, "✗ signature", "token", "inspect", stranger.Token(t, map[string]any{"iss": issuer.URL}))
	run(5, "it is no JWT", "token", "inspect", "sk-none")
	run(0, "keys: 1; tokens for any audience are taken", "doctor")
	issuer.Away.Store(true)
	run(4, "? signature", "token", "inspect", good)
	run(4, "503", "doctor")
}
