package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"agentapi/test/kit"
)

// pit is a server that the corpus is thrown at.
type pit struct {
	*kit.Server
	canary  net.Listener
	touched atomic.Int32 // connections that the canary got
	record  string       // where the fake agent writes what it was started with
	places  *strings.Replacer
	mint    *mint
	ids     struct{ orgA, mintA, memberA string } // of the organisation org_a, of the mint's org_b, of the mint's user_a
	revoked string                                // an API key that is good no more
	last    string                                // the id of the last platform admin that was appointed
}

func newPit(t *testing.T, target string) *pit {
	p := &pit{record: filepath.Join(t.TempDir(), "started"), mint: newMint(t)}
	var err error
	if p.canary, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := p.canary.Accept()
			if err != nil {
				return
			}
			p.touched.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { p.canary.Close(); <-done })
	p.Server = kit.Start(t, kit.Options{Config: fmt.Sprintf(`
server: {max_body: %d}
log: {format: json, level: debug}
storage: {driver: sqlite}
identity:
  chain: [oidc, apikey, dev]
  oidc: {issuers: [{issuer: %q, jwks_url: %q, audience: agentapi}]}
  dev:
    tokens:
      - {token: %s, org: org_a, user: user_a}
      - {token: %s, org: org_b, user: user_b}
      - {token: %s, org: org_a, user: admin_a, role: org_admin}
      - {token: %s, org: platform, user: root, role: platform_admin}
agents:
  demo: {driver: demo}
  fake: {driver: exec, models: [echo], exec: {command: [%q], env: {FAKEAGENT_RECORD: %q}}}
routing: {default: [demo], aliases: {echo-1: [%s]}}
`, bodyLimit, p.mint.URL, p.mint.URL+"/keys", userA, userB, adminA, root, kit.FakeAgent(t), p.record, target)})
	session := func(token string) string {
		return p.Chat(t, kit.Ask("demo/echo", "x"), "Authorization", "Bearer "+token).Header.Get("X-Agentapi-Session-Id")
	}
	own, deleted, foreign := session(userA), session(userA), session(userB)
	p.as(t, userA, http.MethodDelete, "/api/v1/sessions/"+deleted, "")
	_, port, err := net.SplitHostPort(p.canary.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.places = strings.NewReplacer("{TOKEN}", userA, "{OWN}", own, "{DELETED}", deleted, "{CURSOR_ORG_B}", foreign,
		"{CURSOR_TAMPERED}", own+"0", "{CANARY}", port, "{ISS}", p.mint.URL, "{AUD}", "agentapi", "{CLIENT_ID}", "client")
	p.staff(t)
	return p
}

// as sends a request with a token, which must be served.
func (p *pit) as(t *testing.T, token, method, path, body string) map[string]any {
	t.Helper()
	a, err := p.Do(t.Context(), method, path, body, "Authorization", "Bearer "+token)
	if err != nil || a.Status/100 != 2 {
		t.Fatalf("%s %s: %d %s, %v", method, path, a.Status, a.Body, err)
	}
	return object(t, a)
}

// staff has those come whom the cases are about: the mint's user_a with a token as
// the recipes make it, but for what is wrong with theirs; one appointed platform
// admin; and a key that is revoked.
func (p *pit) staff(t *testing.T) {
	t.Helper()
	me := func(token string) map[string]any { return p.as(t, token, http.MethodGet, "/api/v1/me", "") }
	me(p.mint.token(t, &recipe{}, p.places))
	guest := me(p.mint.token(t, &recipe{Claims: map[string]any{"org_id": "org_b"}}, p.places))
	p.ids.orgA, p.ids.mintA, p.ids.memberA = fmt.Sprint(me(userA)["org_id"]), fmt.Sprint(guest["org_id"]), fmt.Sprint(guest["user_id"])
	p.as(t, root, http.MethodPatch, "/api/v1/orgs/"+p.ids.mintA+"/members/"+p.ids.memberA, `{"status":"suspended"}`)
	last := p.as(t, root, http.MethodPost, "/api/v1/platform/admins", `{"issuer":"dev","subject":"root"}`)
	key := p.as(t, userA, http.MethodPost, "/api/v1/me/api-keys", `{"name":"revoked"}`)
	p.revoked = fmt.Sprint(key["key"])
	me(p.revoked)
	p.as(t, userA, http.MethodDelete, "/api/v1/me/api-keys/"+fmt.Sprint(key["id"]), "")
	p.last = fmt.Sprint(last["id"])
}

// prepare does what a case presupposes, and gives what undoes it.
func (p *pit) prepare(t *testing.T, b *badInput) (undo func()) {
	t.Helper()
	switch b.Precondition {
	case "":
		return func() {}
	case "org_a suspended":
		set := func(status string) {
			p.as(t, root, http.MethodPatch, "/api/v1/orgs/"+p.ids.orgA, `{"status":"`+status+`"}`)
		}
		set("suspended")
		return func() { set("active") }
	default:
		t.Fatalf("nothing does %q", b.Precondition)
		return nil
	}
}

// started gives the prompts, arguments and environments that programs were started with.
func (p *pit) started(t *testing.T) (out []start) {
	t.Helper()
	text, err := os.ReadFile(p.record)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var s start
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

type start struct {
	Prompt    string
	Argv, Env []string
}
