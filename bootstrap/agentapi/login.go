package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// serverLimit is how long a server has for what it does in a login and a logout.
const serverLimit = 30 * time.Second

// wish is how somebody wants to log in.
type wish struct {
	url, issuer, client, role string
	device, token, stdin      bool
	expires, timeout          time.Duration
}

func loginCommand() *cobra.Command {
	var w wish
	c := &cobra.Command{
		Use: "login", Short: "Log in to a server, and keep the credential as a context", Args: cobra.NoArgs,
		Long: "Log in to a server by its provider (OIDC), in a browser on this machine or with --device on another one. It\n" +
			"makes an API key of your own that is named after this machine and ends after --expires, and keeps it in a\n" +
			"file that only you can read: a context, which is the current one from then on. The token of the provider is\n" +
			"not kept, unless --token says so.\n\n" +
			"  agentapi login --url https://agents.example\n" +
			"  agentapi login --url https://agents.example --stdin < key.txt    with a key that you have\n" +
			"  agentapi login --context agents.example                          once more",
		RunE: func(c *cobra.Command, _ []string) error { return w.login(c) },
	}
	c.Flags().StringVar(&w.url, "url", "", "the server; that of the context if absent, else this machine's")
	c.Flags().String("context", "", "what the context shall be called; after the server if absent")
	c.Flags().BoolVar(&w.device, "device", false, "log in on another device: for a machine without a browser")
	c.Flags().BoolVar(&w.token, "token", false, "keep the provider's token and make no API key; it ends soon and is not renewed")
	c.Flags().BoolVar(&w.stdin, "stdin", false, "take an API key or a token from the standard input instead")
	c.Flags().StringVar(&w.role, "role", "", "the most that the API key may be; what you are if absent")
	c.Flags().DurationVar(&w.expires, "expires", 30*24*time.Hour, "after how long the API key ends")
	c.Flags().DurationVar(&w.timeout, "timeout", 5*time.Minute, "how long you have to log in")
	c.Flags().StringVar(&w.issuer, "issuer", "", "the provider; the server's first if absent")
	c.Flags().StringVar(&w.client, "client-id", "", "the public client at the provider; what the server names if absent")
	c.MarkFlagsMutuallyExclusive("stdin", "device")
	c.MarkFlagsMutuallyExclusive("stdin", "token")
	return c
}

// self is what a server says of who calls.
type self struct {
	User    string     `json:"user_id"`
	Name    string     `json:"name"`
	Email   string     `json:"email"`
	Org     string     `json:"org_id"`
	OrgName string     `json:"org_name"`
	Role    string     `json:"role"`
	Subject string     `json:"subject"`
	Key     *string    `json:"api_key_id"`
	Expires *time.Time `json:"expires_at"`
}

func (s *self) name() string { return cmp.Or(s.Email, s.Name, s.Subject, s.User) }

func (w *wish) login(c *cobra.Command) error {
	if w.expires <= 0 || w.timeout <= 0 {
		return &exit{code: exitUsage, err: errors.New("--expires and --timeout must be more than nothing")}
	}
	all, err := readContexts()
	if err != nil {
		return err
	}
	name, cl, err := w.target(c, all)
	if err != nil {
		return err
	}
	a := &account{URL: cl.url}
	if w.stdin {
		if cl.token, err = credential(c.InOrStdin()); err != nil {
			return err
		}
	} else {
		got, err := w.ask(c, cl)
		if err != nil {
			return err
		}
		cl.token, a.Expires = got.Raw, got.Expires
	}
	ctx, cancel := context.WithTimeout(c.Context(), serverLimit)
	defer cancel()
	me, err := cl.whoami(ctx)
	if err != nil {
		return err
	}
	a.Token, a.User = cl.token, me.name()
	if me.Expires != nil {
		a.Expires = *me.Expires
	}
	if !w.stdin && !w.token {
		if err := w.key(ctx, cl, me, a); err != nil {
			return err
		}
	}
	before := all.All[name]
	all.All[name], all.Current = a, name
	if err := all.write(); err != nil {
		if a.Key != "" { // what is not kept shall not stay good
			_ = cl.revoke(ctx, a.Key)
		}
		return err
	}
	switch {
	case before == nil || before.Key == "":
	case before.URL == a.URL:
		_ = cl.revoke(ctx, before.Key) // it may be another's, or have ended
	default:
		fmt.Fprintf(c.ErrOrStderr(), "The API key %s at %s stays good until it expires or is revoked.\n", line(before.Key), line(before.URL))
	}
	fmt.Fprintf(c.OutOrStdout(), "%s at %s, in %s as %s\n", line(me.name()), line(a.URL), line(cmp.Or(me.OrgName, me.Org)), line(me.Role))
	fmt.Fprintf(c.ErrOrStderr(), "This is the context %s now; its credential expires %s.\n", name, day(all.shown(name).Expires))
	return nil
}

// target is the server to log in to, and what its context is called.
func (w *wish) target(c *cobra.Command, all *contexts) (name string, cl *client, err error) {
	name = c.Flag("context").Value.String()
	cl = &client{url: base(w.url)}
	if cl.url == "" && name != "" && all.All[name] != nil {
		cl.url = all.All[name].URL
	}
	if cl.url == "" {
		if cl.url = base(os.Getenv("AGENTAPI_URL")); cl.url == "" && all.Current != "" && name == "" {
			name, cl.url = all.Current, all.All[all.Current].URL
		} else if err := cl.local(); err != nil {
			return "", nil, err
		}
	}
	u, err := url.Parse(cl.url)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !onThisMachine(cl.url)) {
		return "", nil, &exit{code: exitUsage, err: fmt.Errorf("%q is no address to log in to", line(cl.url)), fix: "give it as https://server (http:// on this machine only)"}
	}
	name = cmp.Or(name, u.Host)
	return name, cl, validContext(name)
}

// credential reads one, which no shell or process list then has.
func credential(in io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, 1<<16))
	if err != nil {
		return "", &exit{code: exitError, err: err}
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", &exit{code: exitUsage, err: errors.New("the standard input has no credential, or more than one line"), fix: "agentapi login --url https://server --stdin < key.txt"}
	}
	return token, nil
}

// whoami asks the server who the credential is.
func (cl *client) whoami(ctx context.Context) (*self, error) {
	raw, err := cl.read(ctx, http.MethodGet, "/api/v1/me", nil)
	if refused(err, http.StatusUnauthorized) {
		return nil, &exit{code: exitError, err: errors.New("the server does not take this credential"), fix: "its log says why; its operator can have a token explained by agentapi token inspect"}
	}
	if err != nil {
		return nil, err
	}
	var me self
	if err := json.Unmarshal(raw, &me); err != nil || me.User == "" {
		return nil, notOurs(cmp.Or(err, errors.New("it names no user")))
	}
	return &me, nil
}

// key makes the API key that is kept instead of the token.
func (w *wish) key(ctx context.Context, cl *client, me *self, a *account) error {
	host, err := os.Hostname()
	if err != nil {
		host = "a machine without a name"
	}
	body, err := json.Marshal(map[string]any{
		"name": "login on " + line(host), "role": cmp.Or(w.role, me.Role), "expires_at": time.Now().Add(w.expires).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return &exit{code: exitError, err: err}
	}
	raw, err := cl.read(ctx, http.MethodPost, "/api/v1/me/api-keys", body)
	if refused(err, http.StatusForbidden) {
		return &exit{code: exitError, err: fmt.Errorf("you are logged in, but may not make this API key: %w", err), fix: "keep the token itself with --token, or ask for less with --role"}
	}
	if err != nil {
		return err
	}
	var k apiKey
	if err := json.Unmarshal(raw, &k); err != nil || k.Key == "" || k.ID == "" {
		return notOurs(cmp.Or(err, errors.New("it has no key")))
	}
	a.Token, a.Key, a.Expires = k.Key, k.ID, time.Time{}
	if k.Expires != nil {
		a.Expires = *k.Expires
	}
	return nil
}
