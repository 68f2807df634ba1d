package main

import (
	"testing"

	"github.com/spf13/cobra"
)

// Who can ask one command for JSON can ask every command that knows it.
func TestJSONIsAskedForInOneWay(t *testing.T) {
	var known int
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		short, long, json := c.Flags().ShorthandLookup("o"), c.Flags().Lookup("output"), c.Flags().Lookup("json")
		if (short == nil) != (json == nil) || (long == nil) != (json == nil) || short != long {
			t.Errorf("%s takes --json: %v, -o: %v, --output: %v", c.CommandPath(), json != nil, short != nil, long != nil)
		}
		if json != nil {
			known++
			for _, args := range [][]string{{"-o", "json"}, {"-ojson"}, {"--output=json"}, {"--json"}, {"-o", "table", "--json"}} {
				if err := c.ParseFlags(args); err != nil || long.Value.String() != "json" || json.Value.String() != "true" {
					t.Errorf("%s %q: %v", c.CommandPath(), args, err)
				}
				if err := c.ParseFlags([]string{"-o", "table"}); err != nil || json.Value.String() != "false" {
					t.Errorf("%s -o table: %v", c.CommandPath(), err)
				}
			}
			if c.ParseFlags([]string{"-o", "yaml"}) == nil {
				t.Errorf("%s -o yaml is taken", c.CommandPath())
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	if walk(command(nil)); known < 20 {
		t.Errorf("only %d commands know JSON", known)
	}
}
