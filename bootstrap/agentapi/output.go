package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// output gives a command that tells something the flags that say in what form: -o json or,
// for short, --json.
func output(c *cobra.Command, asJSON *bool) {
	c.Flags().VarP((*form)(asJSON), "output", "o", "the form: table or json")
	c.Flags().BoolVar(asJSON, "json", false, "as -o json")
}

// form is a flag's value that says whether something is told as JSON, or for people.
type form bool

func (f *form) Set(text string) error {
	if text != "table" && text != "json" {
		return errors.New("it is table or json")
	}
	*f = text == "json"
	return nil
}

func (f *form) String() string {
	if *f {
		return "json"
	}
	return "table"
}

// Type is what help calls such a value.
func (f *form) Type() string { return "form" }
