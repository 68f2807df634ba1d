package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// agentsTurnCommand has a server do something with an agent that its name says.
func agentsTurnCommand(verb, short string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		Long: short + ": at once on the server that is asked, on others of its database within a second, or 15 where they share no Redis.\nThe server is found as agentapi chat finds it.",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			raw, err := cl.read(c.Context(), http.MethodPost, "/api/v1/platform/agents/"+url.PathEscape(args[0])+"/"+verb, []byte("{}"))
			if err != nil || asJSON {
				return orPrint(c.OutOrStdout(), raw, err)
			}
			var a struct {
				ID       string
				Draining bool
				Enabled  bool
				Running  int
				State    string
			}
			if err := json.Unmarshal(raw, &a); err != nil {
				return notOurs(err)
			}
			how := "works"
			switch {
			case a.Draining:
				how = fmt.Sprintf("is drained; %d requests still run on this server", a.Running)
			case !a.Enabled:
				how = "is out of service"
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s %s; it is %s\n", line(a.ID), how, line(a.State))
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

func agentsHealthCommand() *cobra.Command {
	var (
		asJSON bool
		limit  int
	)
	c := &cobra.Command{
		Use: "health NAME", Short: "Show how an agent's health changed, the last change first", Args: cobra.ExactArgs(1),
		Long: "Show how an agent's health changed, as each server saw it, the last change first.\nThe server is found as agentapi chat finds it.",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			found, err := cl.all(c.Context(), "/api/v1/platform/agents/"+url.PathEscape(args[0])+"/health", url.Values{"order": {"desc"}}, limit)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), found)
			}
			table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "WHEN\tSERVER\tSTATE\tWAS\tFOR\tFAILED\tREASON")
			for _, raw := range found {
				var v struct {
					At       time.Time `json:"created_at"`
					Instance string
					State    string
					Was      string
					Reason   string
					Lasted   float64 `json:"lasted_seconds"`
					Observed struct {
						Probes       int
						ProbesFailed int `json:"probes_failed"`
						Runs         int
						RunsFailed   int `json:"runs_failed"`
					}
				}
				if err := json.Unmarshal(raw, &v); err != nil {
					return notOurs(err)
				}
				o := v.Observed
				fmt.Fprintf(table, "%s\t%.8s\t%s\t%s\t%s\t%d/%d probes, %d/%d runs\t%s\n", v.At.Format(time.RFC3339), line(v.Instance), line(v.State), line(v.Was),
					time.Duration(v.Lasted*float64(time.Second)).Round(time.Second), o.ProbesFailed, o.Probes, o.RunsFailed, o.Runs, line(v.Reason))
			}
			return table.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().IntVar(&limit, "limit", 100, "how many changes at most")
	return c
}
