package oidc

import (
	"context"
	"crypto/subtle"
	"fmt"
	"html"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"agentapi/domain/fault"
)

// Browser logs in by a browser on this machine: RFC 8252 with a redirect to
// loopback, and PKCE. show is told the address to open. It ends with ctx. What
// comes to the redirect without this login's state is refused, and the login goes
// on.
func (c *Client) Browser(ctx context.Context, show func(address string)) (Token, error) {
	if c.oauth.Endpoint.AuthURL == "" {
		return Token{}, fault.New(fault.Unsupported, "The provider has no page to log in on.")
	}
	if len(c.said.Challenges) > 0 && !slices.Contains(c.said.Challenges, "S256") {
		return Token{}, fault.New(fault.Unsupported, "The provider does not know PKCE by S256, without which a login is not safe.")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return Token{}, fault.Wrap(fault.Unavailable, err, "Nothing can be listened to on this machine's loopback.")
	}
	r := &redirect{
		client: c, oauth: c.oauth, host: l.Addr().String(), state: unguessable(), nonce: unguessable(), verifier: oauth2.GenerateVerifier(),
		base: ctx, ended: make(chan result, 1),
	}
	r.oauth.RedirectURL = "http://" + r.host + callback
	server := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // it ends when it is closed
	}()
	defer func() {
		// The browser shall have its page first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-served
	}()
	show(r.oauth.AuthCodeURL(r.state, append(c.meant(), oauth2.S256ChallengeOption(r.verifier), gooidc.Nonce(r.nonce))...))
	select {
	case got := <-r.ended:
		return got.token, got.err
	case <-ctx.Done():
		return Token{}, failed(ctx, ctx.Err())
	}
}

const callback = "/callback"

type result struct {
	token Token
	err   error
}

// redirect is where the provider sends the browser back to.
type redirect struct {
	client                       *Client
	oauth                        oauth2.Config
	host, state, nonce, verifier string

	base  context.Context
	once  sync.Once
	ended chan result
}

func (r *redirect) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	state := q.URL.Query()["state"]
	switch {
	case q.Host != r.host || q.URL.Path != callback || q.Method != http.MethodGet:
		http.NotFound(w, q)
		return
	case len(state) != 1 || subtle.ConstantTimeCompare([]byte(state[0]), []byte(r.state)) != 1:
		page(w, http.StatusBadRequest, "This answer does not belong to the login that agentapi waits for.")
		return
	}
	taken := true
	r.once.Do(func() {
		taken = false
		token, err := r.exchange(q)
		if err == nil {
			page(w, http.StatusOK, "You are logged in. This window can be closed.")
		} else {
			page(w, http.StatusBadRequest, fault.As(err).Message)
		}
		r.ended <- result{token, err}
	})
	if taken {
		page(w, http.StatusBadRequest, "This login is over.")
	}
}

// exchange turns the provider's answer into a token.
func (r *redirect) exchange(q *http.Request) (Token, error) {
	said := q.URL.Query()
	if issuer := said.Get("iss"); (issuer != "" || r.client.said.NamesSelf) && issuer != r.client.login.Issuer {
		return Token{}, fault.New(fault.Upstream, "The answer comes from another provider: its iss is %q.", plain(issuer)) // RFC 9207
	}
	if code := said.Get("error"); code != "" {
		return Token{}, refusedBy(code, said.Get("error_description"))
	}
	if said.Get("code") == "" {
		return Token{}, fault.New(fault.Upstream, "The provider's answer has no code.")
	}
	ctx := r.client.context(r.base)
	got, err := r.oauth.Exchange(ctx, said.Get("code"), append(r.client.meant(), oauth2.VerifierOption(r.verifier))...)
	if err != nil {
		return Token{}, failed(r.base, err)
	}
	return r.client.accept(ctx, got, r.nonce)
}

func page(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	// A browser that has gone changes nothing.
	_, _ = fmt.Fprintf(w, "<!doctype html><title>agentapi login</title><p>%s</p>\n", html.EscapeString(text))
}
