package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"agentapi/bootstrap"
	"agentapi/domain/agent"
	"agentapi/ports"
)

func agentsCommand(files *[]string) *cobra.Command {
	c := &cobra.Command{
		Use: "agents", Short: "See the agents that servers have, how they are, and drain them", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(agentsListCommand(files))
	c.AddCommand(talksToServer(agentsHealthCommand(),
		agentsTurnCommand("drain", "Have an agent finish what it has begun, and begin nothing more"),
		agentsTurnCommand("resume", "Have an agent that is drained work again"),
		agentsTurnCommand("reset", "Close an agent's breakers and forget how it was"))...)
	return c
}

func agentsListCommand(files *[]string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the agents as the storage knows them", Args: cobra.NoArgs,
		Long: "List the agents as servers have stored them: those of the configuration, and those that were once in it,\n" +
			"and whether administrators let them work.\n\n" +
			"It reads the configured storage itself. SQLite's file has one user at a time;\n" +
			"a server that runs tells the same: agentapi admin get platform/agents.",
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := load(*files, nil)
			if err != nil {
				return err
			}
			dir, err := dataDir()
			if err != nil {
				return err
			}
			var (
				all      []agent.Stored
				switches []agent.Switch
			)
			err = bootstrap.Stored(c.Context(), loaded.Config, bootstrap.NewSetting(dir, ""), func(s ports.Storage) (err error) {
				if all, err = s.Agents().Stored(c.Context()); err == nil {
					switches, err = s.Switches().All(c.Context())
				}
				return err
			})
			if err != nil {
				return orAsk(err, loaded.Config, "platform/agents")
			}
			return printAgents(c.OutOrStdout(), all, switches, asJSON)
		},
	}
	output(c, &asJSON)
	return c
}

// turned is how an agent's switch stands.
func turned(s agent.Switch) string {
	switch {
	case s.Off:
		return "off"
	case s.Drained:
		return "drained"
	default:
		return "on"
	}
}

func printAgents(out io.Writer, all []agent.Stored, switches []agent.Switch, asJSON bool) error {
	type row struct {
		Name    string          `json:"name"`
		Type    string          `json:"type"`
		Enabled bool            `json:"enabled"`
		Switch  string          `json:"switch"`
		Models  []string        `json:"models"`
		Config  json.RawMessage `json:"config"`
		Status  string          `json:"status"`
		Checked *time.Time      `json:"last_check"`
		Error   string          `json:"error_message,omitempty"`
	}
	are := make(map[agent.Name]agent.Switch, len(switches))
	for _, s := range switches {
		are[s.Agent] = s
	}
	rows := make([]row, len(all))
	for i, s := range all {
		rows[i] = row{Name: string(s.Name), Type: s.Type, Enabled: s.Enabled, Switch: turned(are[s.Name]), Models: []string{}, Config: json.RawMessage(s.Config), Status: string(agent.Unknown)}
		for _, m := range s.Models {
			rows[i].Models = append(rows[i].Models, m.ID)
		}
		if s.Health.State != "" {
			rows[i].Status, rows[i].Checked, rows[i].Error = string(s.Health.State), &all[i].Health.Seen, s.Health.Reason
		}
	}
	if asJSON {
		if err := json.NewEncoder(out).Encode(rows); err != nil {
			return &exit{code: exitError, err: err}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tTYPE\tCONFIGURED\tSWITCH\tSTATUS\tLAST CHECK\tREASON")
	for _, r := range rows {
		configured, checked := "yes", "-"
		if !r.Enabled {
			configured = "no"
		}
		if r.Checked != nil {
			checked = r.Checked.Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, r.Type, configured, r.Switch, r.Status, checked, printable(r.Error, false))
	}
	return table.Flush()
}
