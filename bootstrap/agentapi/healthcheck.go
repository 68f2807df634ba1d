package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthcheckCommand is for a container's HEALTHCHECK: the image has no shell.
func healthcheckCommand() *cobra.Command {
	var url string
	c := &cobra.Command{
		Use: "healthcheck", Short: "Ask a running server whether it can serve", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if url == "" {
				url = localURL()
			}
			ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/readyz", nil)
			if err != nil {
				return &exit{code: exitUsage, err: err}
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return &exit{code: exitDependency, err: fmt.Errorf("no server answers at %s", url), fix: "start one with: agentapi serve"}
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return &exit{code: exitDependency, err: fmt.Errorf("%s answers %s", url, resp.Status)}
			}
			fmt.Fprintln(c.OutOrStdout(), "ok")
			return nil
		},
	}
	c.Flags().StringVar(&url, "url", "", "the server's address; the one on this machine if absent")
	return c
}

// localURL is where the server of this machine listens, as far as its environment tells.
func localURL() string {
	for _, name := range []string{"AGENTAPI_PORT", "PORT"} {
		if port := os.Getenv(name); port != "" {
			return "http://" + net.JoinHostPort("127.0.0.1", port)
		}
	}
	return "http://127.0.0.1:3284"
}
