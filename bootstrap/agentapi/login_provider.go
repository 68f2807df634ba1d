package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"agentapi/adapters/identity/oidc"
	"agentapi/domain/fault"
)

// resource is what a server says of how to log in to it (RFC 9728).
type resource struct {
	Resource string `json:"resource"`
	Logins   []struct {
		Issuer   string   `json:"issuer"`
		ClientID string   `json:"client_id"`
		Audience string   `json:"audience"`
		Scopes   []string `json:"scopes"`
	} `json:"agentapi_logins"`
}

// provider says by whom to log in: what the server names, but for the flags.
func (w *wish) provider(ctx context.Context, cl *client) (l oidc.Login, err error) {
	raw, err := cl.read(ctx, http.MethodGet, "/.well-known/oauth-protected-resource", nil)
	if err != nil && !refused(err, http.StatusNotFound) {
		return l, err
	}
	var r resource
	if err == nil {
		if err := json.Unmarshal(raw, &r); err != nil {
			return l, notOurs(err)
		}
		if r.Resource != cl.url {
			return l, &exit{code: exitRefused, err: fmt.Errorf("the server at %s says that it is %s", line(cl.url), line(r.Resource)), fix: "give the address that it has, or have the proxy before it pass on the Host header"}
		}
	}
	for _, found := range r.Logins {
		if w.issuer == "" || w.issuer == found.Issuer {
			l = oidc.Login{Issuer: found.Issuer, ClientID: found.ClientID, Audience: found.Audience, Scopes: found.Scopes}
			break
		}
	}
	l.Issuer, l.ClientID = cmp.Or(w.issuer, l.Issuer), cmp.Or(w.client, l.ClientID)
	if l.Issuer == "" || l.ClientID == "" {
		return l, &exit{code: exitError, err: errors.New("the server names no provider that this program can log in by"),
			fix: "give --issuer and --client-id, or a key with --stdin; a server names them by identity.oidc.issuers[].client_id"}
	}
	return l, nil
}

// ask has the person log in.
func (w *wish) ask(c *cobra.Command, cl *client) (t oidc.Token, err error) {
	ctx, cancel := context.WithTimeout(c.Context(), w.timeout)
	defer cancel()
	l, err := w.provider(ctx, cl)
	if err != nil {
		return t, err
	}
	p, err := oidc.Dial(ctx, l)
	if err != nil {
		return t, loginFailed(err)
	}
	notes := c.ErrOrStderr()
	fmt.Fprintf(notes, "Logging in to %s by %s.\n", line(cl.url), line(l.Issuer))
	if w.device {
		t, err = p.Device(ctx, func(d oidc.Prompt) {
			fmt.Fprintf(notes, "On any device open\n\n  %s\n\nand enter the code\n\n  %s\n\n", d.Address, d.Code)
			if d.Whole != "" {
				fmt.Fprintf(notes, "or open %s\n", d.Whole)
			}
		})
	} else {
		t, err = p.Browser(ctx, func(address string) {
			fmt.Fprintf(notes, "Open this in a browser on this machine:\n\n  %s\n\n", address)
			if isTerminal(notes) {
				browse(address)
			}
		})
		if err != nil && p.HasDevice() && fault.Is(err, fault.Timeout) {
			return t, &exit{code: exitError, err: err, fix: "where this machine has no browser: agentapi login --device"}
		}
	}
	return t, loginFailed(err)
}

func loginFailed(err error) error {
	f := fault.As(err)
	switch {
	case err == nil:
		return nil
	case fault.Is(err, fault.Canceled):
		return &exit{code: exitInterrupt, err: err}
	case fault.Is(err, fault.Unavailable):
		return &exit{code: exitDependency, err: err}
	case f != nil:
		return &exit{code: exitError, err: errors.New(f.Message), fix: f.Hint}
	default:
		return &exit{code: exitError, err: err}
	}
}

// browse has a browser open an address, if there is a way to. Nothing waits for it.
func browse(address string) {
	program := "xdg-open"
	switch {
	case runtime.GOOS == "darwin":
		program = "open"
	case os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "":
		return
	}
	cmd := exec.Command(program, address)
	if cmd.Start() == nil {
		go func() { _ = cmd.Wait() }() // this program ends before a browser does
	}
}
