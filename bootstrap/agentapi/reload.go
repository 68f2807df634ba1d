package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func reloadCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "reload", Short: "Have a running server read its configuration again", Args: cobra.NoArgs,
		Long: "Have a running server, which is found as agentapi chat finds it, read its configuration again.\nAgents, routing, limits, prices, retention and the log's level hold for requests that come from then on;\nrunning answers end as they began. Where anything is wrong, all stays as it was. SIGHUP does the same.",
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			raw, err := cl.read(c.Context(), http.MethodPost, "/api/v1/platform/config/reload", []byte("{}"))
			if err != nil || asJSON {
				return orPrint(c.OutOrStdout(), raw, err)
			}
			var r struct{ Changed, Restart []string }
			if err := json.Unmarshal(raw, &r); err != nil {
				return notOurs(err)
			}
			if len(r.Changed)+len(r.Restart) == 0 {
				fmt.Fprintln(c.OutOrStdout(), "nothing has changed")
			}
			for _, path := range r.Changed {
				fmt.Fprintf(c.OutOrStdout(), "changed          %s\n", line(path))
			}
			for _, path := range r.Restart {
				fmt.Fprintf(c.OutOrStdout(), "takes a restart  %s\n", line(path))
			}
			return nil
		},
	}
	output(c, &asJSON)
	return c
}
