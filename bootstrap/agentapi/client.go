package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// client talks to a server.
type client struct{ url, token, model string }

// talksToServer gives commands the flag that says to which server they talk.
func talksToServer(all ...*cobra.Command) []*cobra.Command {
	for _, c := range all {
		c.PersistentFlags().String("context", "", "the context to use (agentapi context list); the current one if absent")
	}
	return all
}

// newClient finds the server and the credential: those of --context, else
// AGENTAPI_URL and AGENTAPI_TOKEN, else those of the current context, else those
// of this machine's server. A credential that is kept goes only to the server that
// it is kept for.
func newClient(c *cobra.Command, model string) (*client, error) {
	var asked string
	if f := c.Flag("context"); f != nil {
		asked = f.Value.String()
	}
	all, err := readContexts()
	if err != nil {
		return nil, err
	}
	_, chosen, err := all.choose(asked)
	if err != nil {
		return nil, err
	}
	cl := &client{model: model}
	if asked != "" {
		cl.url, cl.token = chosen.URL, chosen.Token
		return cl, nil
	}
	cl.url, cl.token = base(os.Getenv("AGENTAPI_URL")), os.Getenv("AGENTAPI_TOKEN")
	if chosen != nil && cl.url == "" {
		cl.url = chosen.URL
	}
	if chosen != nil && cl.url == chosen.URL {
		cl.token = cmp.Or(cl.token, chosen.Token)
		return cl, nil
	}
	return cl, cl.local()
}

// local fills in what the data folder and the environment of this machine's server
// say. Its token goes to no other machine.
func (cl *client) local() error {
	dir, err := dataDir()
	if err != nil {
		return err
	}
	kept := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "" // then the environment or the default is right
		}
		return strings.TrimSpace(string(text))
	}
	if cl.url == "" && os.Getenv("AGENTAPI_PORT") == "" {
		cl.url = base(kept(addressFile))
	}
	cl.url = cmp.Or(cl.url, localURL())
	if onThisMachine(cl.url) {
		cl.token = cmp.Or(cl.token, os.Getenv("AGENTAPI_DEV_TOKEN"), kept(tokenFile))
	}
	return nil
}

// base is a server's address without what clients add to it.
func base(address string) string {
	return strings.TrimSuffix(strings.TrimSuffix(address, "/"), "/v1")
}

// onThisMachine tells whether an address is one of this machine's own.
func onThisMachine(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || ip != nil && ip.IsLoopback()
}

func (cl *client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, cl.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, &exit{code: exitUsage, err: err}
	}
	if cl.token != "" {
		req.Header.Set("Authorization", "Bearer "+cl.token)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, &exit{code: exitDependency, err: fmt.Errorf("the server at %s does not answer in time", line(cl.url))}
	case ctx.Err() != nil:
		return nil, &exit{code: exitInterrupt, err: ctx.Err()}
	case err != nil:
		return nil, &exit{code: exitDependency, err: fmt.Errorf("no server answers at %s", line(cl.url)), fix: "start one with: agentapi serve"}
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var failed struct {
		Error struct{ Message, Hint string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&failed); err != nil || failed.Error.Message == "" {
		failed.Error.Message = "the server answers " + resp.Status
	}
	fix := failed.Error.Hint
	if resp.StatusCode == http.StatusUnauthorized {
		fix = "log in with agentapi login, or set AGENTAPI_TOKEN to a credential that the server takes"
	}
	return nil, &exit{code: exitError, err: &refusal{resp.StatusCode, failed.Error.Message}, fix: fix}
}

// refusal is a server's answer that is an error.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

// refused tells whether err is a server's answer with one of these statuses.
func refused(err error, statuses ...int) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	return slices.Contains(statuses, r.status)
}
