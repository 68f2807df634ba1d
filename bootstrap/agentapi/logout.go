package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// revoke ends an API key of one's own.
func (cl *client) revoke(ctx context.Context, key string) error {
	_, err := cl.read(ctx, http.MethodDelete, "/api/v1/me/api-keys/"+url.PathEscape(key), nil)
	return err
}

func logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Revoke the API key of a context, and forget the context", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			name, a, err := all.choose(c.Flag("context").Value.String())
			if err != nil {
				return err
			}
			if a == nil {
				return errNoContext()
			}
			if a.Key != "" {
				ctx, cancel := context.WithTimeout(c.Context(), serverLimit)
				defer cancel()
				cl := &client{url: a.URL, token: a.Token}
				// A key that is not good any more needs no end.
				if err := cl.revoke(ctx, a.Key); err != nil && !refused(err, http.StatusUnauthorized, http.StatusNotFound) {
					return &exit{code: codeOf(err), err: fmt.Errorf("the API key is not revoked: %w", err), fix: "try again; or only forget it: agentapi context remove " + name}
				}
			}
			if err := all.remove(name); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "logged out of %s\n", line(a.URL))
			if a.Key == "" {
				fmt.Fprintln(c.ErrOrStderr(), "Its credential is forgotten here, and stays good until it expires.")
			}
			return nil
		},
	}
}

// codeOf is the exit code that an error has.
func codeOf(err error) int {
	var e *exit
	if errors.As(err, &e) {
		return e.code
	}
	return exitError
}
