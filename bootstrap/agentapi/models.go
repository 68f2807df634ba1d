package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

func modelsCommand() *cobra.Command {
	var org string
	c := &cobra.Command{
		Use: "models", Short: "See what can be asked for, and say what an organisation may, on a running server", Args: cobra.NoArgs,
		Long: "See which models can be asked for, and say which an organisation may, on a running server, which is found as agentapi chat finds it.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&org, "org", "", "the organisation's id (org_…); your own if absent")
	c.AddCommand(modelsList(), modelsAllowed(&org), modelsAllow(&org))
	return c
}

func modelsList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List what you may ask for, by the names to ask with", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			raw, err := cl.read(c.Context(), http.MethodGet, "/v1/models", nil)
			if err != nil {
				return err
			}
			var all struct{ Data []struct{ ID string } }
			if err := json.Unmarshal(raw, &all); err != nil {
				return notOurs(err)
			}
			for _, m := range all.Data {
				fmt.Fprintln(c.OutOrStdout(), line(m.ID))
			}
			return nil
		},
	}
}

func modelsAllowed(org *string) *cobra.Command {
	return &cobra.Command{
		Use: "allowed", Short: "Show which models an organisation may ask for", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return allowedModels(c, *org, http.MethodGet, nil) },
	}
}

func modelsAllow(org *string) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "allow NAME...", Short: "Have an organisation ask for these models only",
		Long: "Have an organisation ask for these models only. Each is a name as asked for, agent/model, or the beginning of one and a *:\n\n" +
			"  agentapi models allow gpt-4o 'up/*' --org org_…",
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return &exit{code: exitUsage, err: errors.New("name the models, or say --all")}
			}
			if all {
				args = nil
			}
			body, err := json.Marshal(map[string]any{"models": args})
			if err != nil {
				return &exit{code: exitError, err: err}
			}
			return allowedModels(c, *org, http.MethodPatch, body)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "all models")
	return c
}

// allowedModels shows or changes which models an organisation may ask for.
func allowedModels(c *cobra.Command, org, method string, body []byte) error {
	cl, err := newClient(c, "")
	if err != nil {
		return err
	}
	path, err := orgPath(c, cl, org)
	if err != nil {
		return err
	}
	raw, err := cl.read(c.Context(), method, path+"/allowed-models", body)
	if err != nil {
		return err
	}
	var a struct {
		Org    string   `json:"org_id"`
		Models []string `json:"models"`
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return notOurs(err)
	}
	return printAllowed(c.OutOrStdout(), a.Org, a.Models)
}

func printAllowed(out io.Writer, org string, models []string) error {
	if models == nil {
		_, err := fmt.Fprintf(out, "%s may ask for all models\n", org)
		return err
	}
	fmt.Fprintf(out, "%s may ask for\n", org)
	for _, m := range models {
		fmt.Fprintf(out, "  %s\n", line(m))
	}
	return nil
}
