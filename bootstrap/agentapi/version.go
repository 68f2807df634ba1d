package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"agentapi/bootstrap"
)

func versionCommand() *cobra.Command {
	var asJSON, sbom bool
	c := &cobra.Command{
		Use: "version", Short: "Say what this program is built of", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if sbom {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(bootstrap.Materials())
			}
			b := bootstrap.Version()
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(b)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "agentapi %s %s %s\n", version(), b.Go, b.Platform)
			return err
		},
	}
	output(c, &asJSON)
	c.Flags().BoolVar(&sbom, "sbom", false, "list all that it is built of, as CycloneDX JSON")
	return c
}
