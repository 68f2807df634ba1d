package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"agentapi/test/reference"
)

func TestTheListOfCommandsIsTheProgramsOwn(t *testing.T) {
	var b strings.Builder
	b.WriteString("| command | does | flags |\n| --- | --- | --- |\n")
	list(&b, command(nil))
	reference.Hold(t, "README.md", "commands", b.String())
}

// list writes a row for each command that can be run, in the order of their names.
func list(b *strings.Builder, c *cobra.Command) {
	if c.Runnable() && !c.HasSubCommands() && !c.Hidden {
		var flags []string
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" {
				flags = append(flags, "`--"+f.Name+"`")
			}
		})
		cell := strings.NewReplacer("|", `\|`).Replace
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", cell(strings.TrimSuffix(c.UseLine(), " [flags]")), cell(c.Short), strings.Join(flags, " "))
	}
	for _, sub := range c.Commands() {
		list(b, sub)
	}
}
