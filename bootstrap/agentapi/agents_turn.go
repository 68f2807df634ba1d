package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
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
	output(c, &asJSON)
	return c
}

// healthChange is one as the server tells it.
type healthChange struct {
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

func agentsHealthCommand() *cobra.Command {
	var how listing
	c := &cobra.Command{
		Use: "health NAME", Short: "Show how an agent's health changed, the last change first", Args: cobra.ExactArgs(1),
		Long: "Show how an agent's health changed, as each server saw it, the last change first.\nThe server is found as agentapi chat finds it.",
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			return showAll(c, cl, "/api/v1/platform/agents/"+url.PathEscape(args[0])+"/health", url.Values{"order": {"desc"}}, how, "WHEN\tSERVER\tSTATE\tWAS\tFOR\tFAILED\tREASON", func(v healthChange) string {
				o := v.Observed
				return fmt.Sprintf("%s\t%.8s\t%s\t%s\t%s\t%d/%d probes, %d/%d runs\t%s", v.At.Format(time.RFC3339), line(v.Instance), line(v.State), line(v.Was),
					time.Duration(v.Lasted*float64(time.Second)).Round(time.Second), o.ProbesFailed, o.Probes, o.RunsFailed, o.Runs, line(v.Reason))
			})
		},
	}
	how.flags(c, 100)
	return c
}
