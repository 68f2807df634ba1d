package oidc

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/test/kit"
)

func dial(t *testing.T, l Login) *Client {
	t.Helper()
	c, err := Dial(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// atCertified is a login at a certified provider in its real version.
func atCertified(t *testing.T) Login {
	t.Helper()
	return Login{Issuer: kit.NewCertified(t, kit.SigningKey(t)).URL, ClientID: "agentapi-cli", Audience: "https://agents.example", Scopes: []string{"chat"}}
}

// with is an address with another value of a parameter.
func with(t *testing.T, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get(name) == "" {
		t.Fatalf("%s has no %s", address, name)
	}
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// browsing logs in with a person who is told the address.
func browsing(t *testing.T, c *Client, who func(ctx context.Context, address string)) (Token, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	gone := make(chan struct{})
	token, err := c.Browser(ctx, func(address string) {
		go func() {
			defer close(gone)
			who(ctx, address)
		}()
	})
	<-gone
	return token, err
}

func TestAPersonLogsInByABrowser(t *testing.T) {
	l := atCertified(t)
	i, err := Open(Options{Issuers: []Issuer{{Issuer: Names{l.Issuer}, Audience: Names{l.Audience}}}}, Params{Now: time.Now, Report: func(string, error) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = i.Stop(t.Context()) }()
	c := dial(t, l)
	visit := func(ctx context.Context, address string) kit.Answer {
		a, err := kit.NewPerson(t, "ann").Visit(ctx, address)
		if err != nil {
			t.Error(err)
		}
		return a
	}

	token, err := browsing(t, c, func(ctx context.Context, address string) {
		// Another login's answer is refused, and this one goes on.
		if a := visit(ctx, with(t, address, "state", "another")); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "does not belong to the login") {
			t.Errorf("another's state: %d %s", a.Status, a.Body)
		}
		if a := visit(ctx, address); a.Status != http.StatusOK || !strings.Contains(a.Body, "You are logged in") {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	who, ok, err := i.Authenticate(t.Context(), token.Raw)
	if err != nil || !ok || who.Subject != "ann" || who.Org != "org_1" || time.Until(token.Expires) < 4*time.Minute {
		t.Errorf("got %+v, %v, %v; it ends at %v", who, ok, err, token.Expires)
	}

	for name, c := range map[string]struct {
		kind fault.Kind
		says string
		who  func(ctx context.Context, address string)
	}{
		"an ID token that is another login's": {fault.Upstream, "nonce", func(ctx context.Context, address string) { visit(ctx, with(t, address, "nonce", "another")) }},
		"a code that another asked for": {fault.Forbidden, "invalid_grant", func(ctx context.Context, address string) {
			visit(ctx, with(t, address, "code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"))
		}},
		"a person who refuses": {fault.Forbidden, "access_denied", func(ctx context.Context, address string) {
			p := kit.NewPerson(t, "ann")
			p.Refuses = true
			if _, err := p.Visit(ctx, address); err != nil {
				t.Error(err)
			}
		}},
		"the answer of another provider": {fault.Upstream, "another provider", func(ctx context.Context, address string) {
			u, err := url.Parse(address)
			if err != nil {
				t.Error(err)
				return
			}
			visit(ctx, u.Query().Get("redirect_uri")+"?iss=https://evil.example&code=x&state="+u.Query().Get("state"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := browsing(t, dial(t, l), c.who)
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || token != (Token{}) {
				t.Errorf("got %+v, %v", token, err)
			}
		})
	}
}

func TestALoginThatNobodyFinishesEnds(t *testing.T) {
	l := atCertified(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var shown string
	c := dial(t, l)
	if _, err := c.Browser(ctx, func(address string) { shown = address }); !fault.Is(err, fault.Timeout) {
		t.Errorf("by a browser: %v", err)
	}
	u, err := url.Parse(shown)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get(u.Query().Get("redirect_uri")); err == nil {
		resp.Body.Close()
		t.Error("the redirect is still listened to")
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.Device(ctx, func(Prompt) {}); !fault.Is(err, fault.Timeout) {
		t.Errorf("on another device: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	if _, err := c.Browser(ctx, func(string) { cancel() }); !fault.Is(err, fault.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestAPersonLogsInOnAnotherDevice(t *testing.T) {
	t.Parallel()
	l := atCertified(t)
	for name, c := range map[string]struct {
		refuses bool
		whole   bool
	}{"by entering the code": {}, "by an address with the code": {whole: true}, "and refuses": {refuses: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the provider is asked every 5 s
			gone := make(chan struct{})
			token, err := dial(t, l).Device(t.Context(), func(d Prompt) {
				go func() {
					defer close(gone)
					p := kit.NewPerson(t, "ben")
					p.Refuses, p.Answers["user_code"] = c.refuses, d.Code
					address := d.Address
					if c.whole {
						address = d.Whole
					}
					if _, err := p.Visit(t.Context(), address); err != nil {
						t.Error(err)
					}
				}()
			})
			<-gone
			switch {
			case c.refuses && !fault.Is(err, fault.Forbidden):
				t.Errorf("got %v", err)
			case !c.refuses && (err != nil || !isJWT(token.Raw)):
				t.Errorf("got %+v, %v", token, err)
			}
		})
	}
}

// A provider that a certified one is not.
func TestAProviderIsNotBelievedInEverything(t *testing.T) {
	for name, c := range map[string]struct {
		metadata map[string]any // {URL} is the provider's
		answers  map[string]string
		device   bool
		kind     fault.Kind
	}{
		"no PKCE":                  {map[string]any{"code_challenge_methods_supported": []string{"plain"}}, nil, false, fault.Unsupported},
		"no page":                  {map[string]any{"authorization_endpoint": ""}, nil, false, fault.Unsupported},
		"no device":                {map[string]any{}, nil, true, fault.Unsupported},
		"a token over http":        {map[string]any{"token_endpoint": "http://evil.example/token"}, nil, false, fault.Upstream},
		"another's description":    {map[string]any{"issuer": "https://evil.example"}, nil, false, fault.Unavailable},
		"no ID token":              {nil, map[string]string{"/token": `{"access_token":"a.b.c","token_type":"Bearer"}`}, false, fault.Upstream},
		"a forged ID token":        {nil, map[string]string{"/token": `{"access_token":"a","token_type":"Bearer","id_token":"e30.e30.AAAA"}`}, false, fault.Upstream},
		"an error without words":   {nil, map[string]string{"/token": `secret-of-the-provider`}, false, fault.Unavailable},
		"a page to log in on http": {map[string]any{"device_authorization_endpoint": "{URL}/device"}, map[string]string{"/device": `{"device_code":"d","user_code":"u","verification_uri":"http://evil.example/"}`}, true, fault.Upstream},
		"opaque tokens": {map[string]any{"device_authorization_endpoint": "{URL}/device"}, map[string]string{
			"/device": `{"device_code":"d","user_code":"u","verification_uri":"https://a.example/","interval":-1}`, "/token": `{"access_token":"opaque","token_type":"Bearer"}`,
		}, true, fault.Upstream},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			s := httptest.NewServer(mux)
			defer s.Close()
			said := map[string]any{"issuer": s.URL, "jwks_uri": s.URL + "/keys", "authorization_endpoint": s.URL + "/auth", "token_endpoint": s.URL + "/token"}
			for k, v := range c.metadata {
				if text, ok := v.(string); ok {
					v = strings.ReplaceAll(text, "{URL}", s.URL)
				}
				said[k] = v
			}
			mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(said) })
			mux.HandleFunc("/auth", func(w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				http.Redirect(w, r, q.Get("redirect_uri")+"?code=c&state="+q.Get("state"), http.StatusFound)
			})
			for path, text := range c.answers {
				mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(text)) // the client reads it or has left
				})
			}
			p, err := Dial(t.Context(), Login{Issuer: s.URL, ClientID: "cli"})
			var token Token
			switch {
			case err != nil:
			case c.device:
				token, err = p.Device(t.Context(), func(Prompt) {})
			default:
				gone := make(chan struct{})
				close(gone)
				token, err = p.Browser(t.Context(), func(address string) {
					gone = make(chan struct{})
					go func() {
						defer close(gone)
						if _, err := kit.NewPerson(t, "ann").Visit(t.Context(), address); err != nil {
							t.Error(err)
						}
					}()
				})
				<-gone
			}
			if !fault.Is(err, c.kind) || token != (Token{}) || strings.Contains(err.Error(), "secret-of-the-provider") {
				t.Errorf("got %+v, %v", token, err)
			}
		})
	}
}
