package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"agentapi/test/kit"
)

// robot logs in at a certified provider, and gives the access token.
func robot(t *testing.T, p *kit.Certified) string { return machine(t, p, "robot") }

// machine is a token of a client's own.
func machine(t *testing.T, p *kit.Certified, client string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"chat"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(client, client+"s-secret")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Token == "" {
		t.Fatalf("no token: %s, %v", resp.Status, err)
	}
	return got.Token
}

// Somebody logs in at a certified provider, chats and makes a key. When the provider
// shuts them out by SCIM the next call is refused, whatever it comes with; when it
// removes them, they do not come back by logging in.
func TestWhoIsDeprovisionedIsOutAtOnce(t *testing.T) {
	p := kit.NewCertified(t, kit.SigningKey(t))
	s := kit.Start(t, kit.Options{Env: []string{"OIDC_ISSUER=" + p.URL, "OIDC_AUDIENCE=https://agents.example"}})
	token := []string{"Authorization", "Bearer " + robot(t, p)}
	me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", token...))
	org := fmt.Sprint(me["org_id"])
	directoryKey := object(t, call(t, s, 201, http.MethodPost, "/api/v1/orgs/"+org+"/api-keys", `{"name":"directory","service":"directory","scim":true}`, "Authorization", "Bearer "+machine(t, p, "owner")))["key"]
	own := []string{"Authorization", "Bearer " + fmt.Sprint(object(t, call(t, s, 201, http.MethodPost, "/api/v1/me/api-keys", `{"name":"own"}`, token...))["key"])}
	d := &directory{s, t, fmt.Sprint(directoryKey), org}
	chats := func(status int, code string) {
		t.Helper()
		for with, headers := range map[string][]string{"a token": token, "a key": own} {
			a := s.Chat(t, kit.Ask("demo/echo", "hello"), headers...)
			if a.Status != status || !strings.Contains(a.Body, code) {
				t.Errorf("with %s: %d %s, want %d %s", with, a.Status, a.Body, status, code)
			}
		}
	}
	chats(200, "hello")
	u := d.send(201, http.MethodPost, "/Users", `{"userName":"robot@example.com","externalId":"robot"}`)
	if u["id"] != me["user_id"] {
		t.Fatalf("who logged in is %v, who is provisioned %v", me["user_id"], u["id"])
	}
	chats(200, "hello")
	user := "/Users/" + fmt.Sprint(u["id"])
	d.patch(200, user, `{"op":"Replace","path":"active","value":"False"}`)
	chats(403, "account_suspended")
	if a := s.Chat(t, kit.Ask("demo/echo", "hello"), "Authorization", "Bearer "+robot(t, p)); a.Status != 403 {
		t.Errorf("who logs in anew: %d %s", a.Status, a.Body)
	}
	d.patch(200, user, `{"op":"Replace","path":"active","value":"True"}`)
	chats(200, "hello")
	d.provision("another")
	d.send(204, http.MethodDelete, user, "")
	for with, want := range map[string]struct {
		headers []string
		status  int
		code    string
	}{"a token": {token, 403, "user_unknown"}, "a new token": {[]string{"Authorization", "Bearer " + robot(t, p)}, 403, "user_unknown"}, "a key": {own, 401, "invalid_api_key"}} {
		if a := s.Chat(t, kit.Ask("demo/echo", "hello"), want.headers...); a.Status != want.status || !strings.Contains(a.Body, want.code) {
			t.Errorf("with %s: %d %s", with, a.Status, a.Body)
		}
	}
	d.provision("robot")
	if a := s.Chat(t, kit.Ask("demo/echo", "hello"), token...); a.Status != 200 {
		t.Errorf("who is provisioned again: %d %s", a.Status, a.Body)
	}
	if a := s.Chat(t, kit.Ask("demo/echo", "hello"), own...); a.Status != 401 {
		t.Errorf("the old key of who is provisioned again: %d %s", a.Status, a.Body)
	}
}

// Where several issuers are taken nothing says at which of them people log in, and
// nobody is made who could be somebody else.
func TestWithoutAnIssuerNobodyIsProvisioned(t *testing.T) {
	one, other := kit.NewIssuer(t), kit.NewIssuer(t)
	config := "identity:\n  chain: [oidc, apikey]\n  oidc: {issuers: [{issuer: \"" + one.URL + "\"}, {issuer: \"" + other.URL + "\"}]}\n"
	try := func(t *testing.T, config string, status int) map[string]any {
		s := kit.Start(t, kit.Options{Config: config})
		token := []string{"Authorization", "Bearer " + other.Token(t, map[string]any{"role": "owner"})}
		org := fmt.Sprint(object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", token...))["org_id"])
		key := object(t, call(t, s, 201, http.MethodPost, "/api/v1/orgs/"+org+"/api-keys", `{"name":"d","service":"d","scim":true}`, token...))["key"]
		d := &directory{s, t, fmt.Sprint(key), org}
		u := d.send(status, http.MethodPost, "/Users", `{"userName":"user_2"}`)
		if status == 201 {
			me := object(t, call(t, s, 200, http.MethodGet, "/api/v1/me", "", "Authorization", "Bearer "+other.Token(t, map[string]any{"sub": "user_2"})))
			if me["user_id"] != u["id"] {
				t.Errorf("who logs in is %v, who was provisioned %v", me["user_id"], u["id"])
			}
			if e := d.patch(400, "/Users/"+fmt.Sprint(u["id"]), `{"op":"replace","path":"userName","value":"user_3"}`); e["scimType"] != "mutability" {
				t.Errorf("got %v", e)
			}
		}
		return u
	}
	if e := try(t, config, 503); !strings.Contains(fmt.Sprint(e["detail"]), "identity.scim.issuer") {
		t.Errorf("got %v", e)
	}
	try(t, strings.Replace(config, "identity:\n", "identity:\n  scim: {issuer: \""+other.URL+"\", subject: userName}\n", 1), 201)
}
