package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	web "agentapi/adapters/http"
	"agentapi/test/kit"
)

// find gives the names of the secrets that a text has, as they are or in an
// encoding that hides them badly.
func (c *canaries) find(text string, but ...string) (found []string) {
	for secret, where := range c.names {
		if slices.Contains(but, where) {
			continue
		}
		for _, form := range []string{
			secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		} {
			if strings.Contains(text, form) {
				found = append(found, where)
				break
			}
		}
	}
	slices.Sort(found)
	return found
}

// quoting is an upstream that says what it was sent, in every place of an error. The
// prompt's second word is the status; "stream" breaks an answer off with it.
func quoting(t *testing.T) (url string, seen func() string) {
	t.Helper()
	var (
		mu  sync.Mutex
		all strings.Builder
	)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, more := r.Header.Get("Authorization"), r.Header.Get("X-Secret")
		mu.Lock()
		fmt.Fprintln(&all, key, more)
		mu.Unlock()
		var in struct {
			Messages []struct{ Content string }
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.Messages) == 0 {
			fmt.Fprintf(w, `{"object":"list","data":[]}`)
			return
		}
		words := append(strings.Fields(in.Messages[0].Content), "", "")
		bare := strings.TrimPrefix(key, "Bearer ")
		said := fmt.Sprintf(`{"error":{"message":"Incorrect API key provided: %s (header %s, %s)","type":"%s","param":"%s","code":"%s"}}`, bare, more, key, bare, bare, bare)
		w.Header().Set("X-Key", key)
		w.Header().Set("Www-Authenticate", key)
		w.Header().Set("Set-Cookie", "key="+bare)
		switch status := 0; words[1] {
		case "stream":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: %s\n\n", said)
		case "html":
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprintf(w, "<h1>%s</h1> %s", key, more)
		case "nonsense":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, "%s %s", key, more)
		default:
			if _, err := fmt.Sscan(words[1], &status); err != nil {
				status = http.StatusInternalServerError
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprint(w, said)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1", func() string {
		mu.Lock()
		defer mu.Unlock()
		return all.String()
	}
}

// signingKey writes a key that signs the audit log, and gives its secret part.
func signingKey(t *testing.T, path string) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

// Forty secrets and more stand where secrets can stand. The server is used, used
// wrongly, administered and broken; none of them is in an answer, the log, the
// database, an argument or an agent's environment.
func TestNoSecretShows(t *testing.T) {
	c := newCanaries(t)
	up, sent := quoting(t)
	m := newMint(t)
	mark, value, processes := kit.Marked(t)
	dir := t.TempDir()
	record := filepath.Join(dir, "started")
	key := filepath.Join(t.TempDir(), "audit.pem")
	c.names[signingKey(t, key)] = "audit.key_file"
	member, boss, chief := c.put("token of a member"), c.put("token of an administrator"), c.put("token of a platform admin")
	config := fmt.Sprintf(`
log: {format: json, level: debug}
storage: {driver: sqlite}
audit: {key_file: %q}
identity:
  chain: [oidc, apikey, dev]
  key_pepper: %s
  oidc: {issuers: [{issuer: %q, jwks_url: %q, audience: agentapi}]}
  dev:
    tokens:
      - {token: %s, org: acme, user: ann}
      - {token: %s, org: acme, user: boss, role: org_owner}
      - {token: %s, org: platform, user: root, role: platform_admin}
agents:
  demo: {driver: demo}
  up:   {driver: openai, models: [m], openai: {base_url: %q, api_key: %s, headers: {X-Secret: %s}}}
  away: {driver: openai, models: [m], openai: {base_url: "https://upstream.invalid/v1", api_key: %s}}
  fake: {driver: exec, models: [m], exec: {command: [%q], env: {FAKEAGENT_RECORD: %q, %s: %q, SECRET: %s}}}
`, key, c.put("pepper"), m.URL, m.URL+"/keys", member, boss, chief, up, c.put("api_key"), c.put("headers"), c.put("api_key behind a proxy"),
		kit.FakeAgent(t), record, mark, value, c.put("the agent's own env"))
	var env []string
	for _, name := range []string{
		"AGENTAPI_DEV_TOKEN", "AGENTAPI_TOKEN", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "FACTORY_API_KEY", "UPSTASH_REDIS_REST_TOKEN", "SUPABASE_DB_PASSWORD",
		"SUPABASE_SERVICE_ROLE_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SOME_PASSWORD",
	} {
		env = append(env, name+"="+c.put(name))
	}
	for name, scheme := range map[string]string{"REDIS_URL": "redis", "DIRECT_URL": "postgres", "HTTPS_PROXY": "http", "HTTP_PROXY": "http"} {
		env = append(env, fmt.Sprintf("%s=%s://user:%s@127.0.0.1:1", name, scheme, c.put(name)))
	}
	s := kit.Start(t, kit.Options{Config: config, Dir: dir, Env: env})

	var said strings.Builder // everything that anybody was answered
	ask := func(method, path, body string, headers ...string) kit.Answer {
		t.Helper()
		a, err := s.Do(t.Context(), method, path, body, headers...)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	say := func(method, path, body string, headers ...string) {
		t.Helper()
		a := ask(method, path, body, headers...)
		where, _, _ := strings.Cut(path, "?")
		fmt.Fprintf(&said, "%s %s: %d %v %s\n", method, where, a.Status, a.Header, a.Body)
	}
	as := func(token string, more ...string) []string {
		return append([]string{"Authorization", "Bearer " + token}, more...)
	}
	const chat = "/v1/chat/completions"

	// Keys that the server makes are secrets too; the answer that gives one is the only place.
	made := func(where, token, path, body string, headers ...string) (id string) {
		t.Helper()
		a := ask(http.MethodPost, path, body, as(token, headers...)...)
		var k struct{ ID, Key string }
		if err := json.Unmarshal([]byte(a.Body), &k); err != nil || k.Key == "" {
			t.Fatalf("%s: %d %s", where, a.Status, a.Body)
		}
		c.names[k.Key] = where
		say(http.MethodGet, "/api/v1/me", "", as(k.Key)...)
		say(http.MethodPost, chat, kit.Ask("demo/echo", "hello"), as(k.Key)...)
		return k.ID
	}
	org := fmt.Sprint(object(t, ask(http.MethodGet, "/api/v1/me", "", as(boss)...))["org_id"])
	own := made("an API key", member, "/api/v1/me/api-keys", `{"name":"own"}`, "Idempotency-Key", "once")
	say(http.MethodPost, "/api/v1/me/api-keys", `{"name":"own"}`, as(member, "Idempotency-Key", "once")...) // a repetition
	made("a rotated API key", member, "/api/v1/me/api-keys/"+own+"/rotate", `{}`)
	robot := made("a service account's API key", boss, "/api/v1/orgs/"+org+"/api-keys", `{"name":"robot","service":"robot"}`)
	say(http.MethodDelete, "/api/v1/orgs/"+org+"/api-keys/"+robot, "", as(boss)...)
	for secret, where := range c.names { // those that are good no more, too
		if strings.Contains(where, "API key") {
			say(http.MethodGet, "/v1/models", "", as(secret)...)
		}
	}

	// Credentials that are wrong, or in the wrong place.
	jwt := func(where string, r recipe) string {
		r.Claims = map[string]any{"jti": c.put(where), "exp": r.Claims["exp"], "aud": r.Claims["aud"]}
		if r.Claims["exp"] == nil {
			r.Claims["exp"] = "now+300"
		}
		if r.Claims["aud"] == nil {
			r.Claims["aud"] = "agentapi"
		}
		token := m.token(t, &r, strings.NewReplacer())
		c.names[token] = where + ", whole"
		c.names[strings.Split(token, ".")[2]] = where + ", its signature"
		return token
	}
	attacker := "attacker"
	for _, headers := range [][]string{
		as(c.put("a wrong token")), {"Authorization", "", "Api-Key", c.put("a wrong api-key")}, {"Authorization", "", "X-Api-Key", c.put("x-api-key")},
		{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+c.put("a password by Basic")))},
		{"Authorization", "Bearer " + c.put("two words") + " more"}, {"Authorization", c.put("no scheme")},
		as(member, "Api-Key", c.put("a second credential")), {"Authorization", "", "Cookie", "session=" + c.put("a cookie")}, as(member, "Cookie", "a="+c.put("a cookie beside a token")),
		as(jwt("a good JWT", recipe{})), as(jwt("an expired JWT", recipe{Claims: map[string]any{"exp": "now-600"}})), as(jwt("a JWT for others", recipe{Claims: map[string]any{"aud": "other"}})),
		as(jwt("a forged JWT", recipe{Key: &attacker})), as(member, "X-Request-Id", "not an id "+c.put("an odd request id")), as(member, "X-Long", strings.Repeat("x", 9<<10)+c.put("a header that is too long")),
		as(member, "Idempotency-Key", c.put("an idempotency key")),
	} {
		say(http.MethodGet, "/v1/models", "", headers...)
		say(http.MethodPost, chat, kit.Ask("demo/echo", "hello"), headers...)
		say(http.MethodGet, "/api/v1/me", "", headers...)
	}
	for _, path := range []string{"/v1/models?api_key=", "/api/v1/me?access_token=", "/readyz?token=", "/api/v1/sessions?q=", "/nowhere?secret=", "/api/v1/platform/audit?actor="} {
		say(http.MethodGet, path+c.put("the query of "+path), "", as(chief)...)
	}

	// What is said in chats, well and badly: the words are for the answer alone.
	prompt := func(where string) string { return c.put("prompt of " + where) }
	for _, x := range []struct{ model, text string }{
		{"demo/echo", "say " + prompt("an answer")}, {"demo/flaky", prompt("a failure")}, {"demo/none", prompt("no model")}, {"fake/m", "exit9 " + prompt("a crash")},
		{"fake/m", "badjson " + prompt("a broken protocol")}, {"away/m", prompt("an upstream that is away")},
	} {
		ask(http.MethodPost, chat, kit.Ask(x.model, x.text), as(member)...)
		ask(http.MethodPost, chat, kit.AskStream(x.model, x.text), as(member)...)
	}
	for _, body := range []string{
		`{"model":"demo/echo","api_key":"` + c.put("api_key in a body") + `","messages":[{"role":"user","content":"x"}]}`,
		`{"model":"demo/echo","messages":[{"role":"user","content":"x"}],"temperature":"` + c.put("a value of the wrong type") + `"}`,
		`{"model":"demo/echo","messages":"` + c.put("messages that are none") + `"}`, `{"broken ` + c.put("broken JSON"), `{"model":"up/m","stop":7,"user":"` + c.put("user") + `"}`,
	} {
		say(http.MethodPost, chat, body, as(member)...)
	}
	// The upstream quotes the key in every place of its errors.
	for _, how := range []string{"400", "401", "403", "404", "409", "413", "422", "429", "500", "503", "302", "stream", "html", "nonsense"} {
		say(http.MethodPost, chat, kit.Ask("up/m", "quote "+how), as(member)...)
		say(http.MethodPost, chat, kit.AskStream("up/m", "quote "+how), as(member)...)
	}
	for _, name := range []string{"api_key", "headers"} {
		if found := c.find(sent()); !slices.Contains(found, name) {
			t.Fatalf("%s does not come to the upstream: %v", name, found)
		}
	}
	// Everything that there is to see, by whoever may see the most.
	ids := strings.NewReplacer(":org", org, ":key", own, "*", "demo/echo")
	for _, r := range web.Surface() {
		if r.Method == http.MethodGet {
			say(r.Method, ids.Replace(r.Path), "", as(chief)...)
			say(r.Method, ids.Replace(r.Path), "", as(boss)...)
		}
	}
	say(http.MethodGet, "/readyz?verbose", "", "Authorization", "")
	say(http.MethodGet, "/metrics", "", "Authorization", "")

	// While a program runs: what it and the server were started with.
	resp, err := s.Open(t.Context(), http.MethodPost, chat, kit.AskStream("fake/m", "half"), as(member)...)
	if err != nil {
		t.Fatal(err)
	}
	if !kit.Soon(5*time.Second, func() bool { return len(processes()) > 0 }) {
		t.Fatal("no program runs")
	}
	read := func(proc, name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("/proc", proc, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, p := range processes() {
		pid, _, _ := strings.Cut(p, " ")
		if found := c.find(read(pid, "cmdline")); found != nil {
			t.Errorf("an agent's arguments show %v", found)
		}
		if found := c.find(read(pid, "environ")); !slices.Equal(found, []string{"the agent's own env"}) {
			t.Errorf("an agent's environment shows %v, and should its own", found)
		}
	}
	server := fmt.Sprint(s.PID())
	if found := c.find(read(server, "cmdline")); found != nil {
		t.Errorf("the server's arguments show %v", found)
	}
	if found := c.find(read(server, "environ")); len(found) < len(env)-2 {
		t.Errorf("the search finds %v in the server's environment only", found)
	}
	resp.Body.Close()
	if !kit.Soon(5*time.Second, func() bool { return len(processes()) == 0 }) {
		t.Errorf("left are %v", processes())
	}

	// The commands that show things, then a crash with all stacks.
	for _, args := range [][]string{{"config", "print", "--origin"}, {"config", "validate"}, {"doctor"}} {
		out, errs, _ := command(t, dir, append(append([]string{}, env...), "AGENTAPI_CONFIG="+filepath.Join(dir, "agentapi.yaml")), "", args...)
		fmt.Fprintln(&said, args, out, errs)
	}
	s.Signal(syscall.SIGQUIT)
	if code, err := s.Wait(10 * time.Second); err != nil || code != 2 || !strings.Contains(s.Logs.String(), "goroutine") {
		t.Errorf("the server crashes with %d, %v", code, err)
	}
	for _, args := range [][]string{{"audit", "tail", "-n", "100", "-o", "json"}, {"audit", "export", "--out", filepath.Join(dir, "export.jsonl")}, {"audit", "checkpoints"}} {
		out, errs, code := command(t, dir, append(append([]string{}, env...), "AGENTAPI_CONFIG="+filepath.Join(dir, "agentapi.yaml")), "", args...)
		if code != 0 {
			t.Errorf("%v: exit %d %s", args, code, errs)
		}
		fmt.Fprintln(&said, args, out, errs)
	}
	export, err := os.ReadFile(filepath.Join(dir, "export.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"an answer or a command": said.String(), "the log": s.Logs.String(), "the audit log's export": string(export)} {
		if found := c.find(text); found != nil {
			t.Errorf("%s shows %v", name, found)
			for line := range strings.Lines(text) {
				if where := c.find(line); where != nil {
					t.Logf("%v: %.600s", where, line)
				}
			}
		}
	}
	// What was said in chats is stored, and what a key of a request was; credentials are not.
	var stored []string
	for _, where := range c.names {
		if strings.HasPrefix(where, "prompt of ") || where == "an idempotency key" || where == "user" {
			stored = append(stored, where)
		}
	}
	for _, name := range []string{"agentapi.db", "agentapi.db-wal"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && name == "agentapi.db" {
			t.Fatal(err)
		}
		if found := c.find(string(text), stored...); found != nil {
			t.Errorf("%s holds %v", name, found)
		}
	}
	started, err := os.ReadFile(record)
	if err != nil || !bytes.Contains(started, []byte("FAKEAGENT_RECORD")) {
		t.Fatalf("no program says how it was started: %v", err)
	}
	for line := range bytes.Lines(started) {
		var p start
		if err := json.Unmarshal(line, &p); err != nil {
			t.Fatal(err)
		}
		if found := c.find(strings.Join(append(p.Argv, p.Env...), "\n"), "the agent's own env"); found != nil {
			t.Errorf("a program was started with %v", found)
		}
	}
	// The search finds each of them where it is.
	for secret, where := range c.names {
		for _, text := range []string{"{\"a\":\"" + secret + "\"}", "x" + hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if !slices.Contains(c.find(text), where) {
				t.Errorf("the search does not find %s", where)
			}
		}
	}
	if !strings.Contains(s.Logs.String(), "agent failed") {
		t.Error("the log does not tell of the failures")
	}
	if len(c.names) < 40 || said.Len() < 50_000 {
		t.Errorf("%d secrets in %d bytes of answers", len(c.names), said.Len())
	}
	t.Logf("%d secrets, %d bytes of answers, %d of the log", len(c.names), said.Len(), len(s.Logs.String()))
}
