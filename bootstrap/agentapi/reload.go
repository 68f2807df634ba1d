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
			var r struct{ Added, Removed, Changed, Restart []string }
			if err := json.Unmarshal(raw, &r); err != nil {
				return notOurs(err)
			}
			if len(r.Added)+len(r.Removed)+len(r.Changed)+len(r.Restart) == 0 {
				fmt.Fprintln(c.OutOrStdout(), "nothing has changed")
			}
			for _, became := range []struct {
				what  string
				paths []string
			}{{"added", r.Added}, {"removed", r.Removed}, {"changed", r.Changed}, {"takes a restart", r.Restart}} {
				for _, path := range became.paths {
					fmt.Fprintf(c.OutOrStdout(), "%-15s  %s\n", became.what, line(path))
				}
			}
			return nil
		},
	}
	output(c, &asJSON)
	return c
}
