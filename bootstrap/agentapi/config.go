package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"agentapi/bootstrap"
	"agentapi/configs"
)

// load reads the configuration; what is wrong with it ends the program with exitConfig.
func load(files []string, flags map[string]string) (*configs.Loaded, error) {
	c, err := configs.Load(configs.Sources{
		Files: files, Environ: os.Environ(), Flags: flags, Search: configs.Places(os.Getenv),
		Extra: bootstrap.Discover, Drivers: bootstrap.DriverPaths(),
	})
	if err != nil {
		return nil, &exit{code: exitConfig, err: err, fix: "agentapi config schema describes every setting"}
	}
	return c, nil
}

func configCommand(files *[]string) *cobra.Command {
	config := &cobra.Command{Use: "config", Short: "Write, check and show the configuration", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	config.AddCommand(initCommand(), validateCommand(files), printCommand(files), schemaCommand())
	return config
}

func validateCommand(files *[]string) *cobra.Command {
	return &cobra.Command{
		Use: "validate [file]", Short: "Check the configuration without starting anything", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			use := *files
			if len(args) == 1 {
				use = args
			}
			loaded, err := load(use, nil)
			if err != nil {
				return err
			}
			if err := bootstrap.Check(loaded.Config); err != nil {
				return &exit{code: exitConfig, err: err, fix: "agentapi config schema describes every setting"}
			}
			name := loaded.File
			if name == "" {
				name = "defaults (no configuration file)"
			}
			for _, n := range loaded.Notices {
				fmt.Fprintf(c.ErrOrStderr(), "note: %s\n", n)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: valid\n", name)
			return nil
		},
	}
}

func printCommand(files *[]string) *cobra.Command {
	var origin bool
	c := &cobra.Command{
		Use: "print", Aliases: []string{"show"}, Short: "Show the effective configuration, secrets masked", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := load(*files, nil)
			if err != nil {
				return err
			}
			fmt.Fprint(c.OutOrStdout(), loaded.Print(origin))
			return nil
		},
	}
	c.Flags().BoolVar(&origin, "origin", false, "say where each value comes from")
	return c
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON schema of the configuration file", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			text, err := configs.Schema(bootstrap.DriverOptions())
			if err != nil {
				return &exit{code: exitError, err: err}
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
}

func initCommand() *cobra.Command {
	var (
		out   string
		force bool
	)
	c := &cobra.Command{
		Use: "init", Short: "Write a commented configuration file to start from", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			flag := os.O_WRONLY | os.O_CREATE | os.O_EXCL
			if force {
				flag = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
			}
			f, err := os.OpenFile(out, flag, 0o600)
			if errors.Is(err, os.ErrExist) {
				return &exit{code: exitError, err: fmt.Errorf("%s is there already", out), fix: "choose another with --out, or overwrite it with --force"}
			}
			if err != nil {
				return &exit{code: exitError, err: err}
			}
			text := configs.Example()
			if _, err = f.Write(text); err == nil {
				err = f.Close()
			}
			if err != nil {
				return &exit{code: exitError, err: err}
			}
			fmt.Fprintf(c.OutOrStdout(), "Wrote %s (%d lines)\n", out, strings.Count(string(text), "\n"))
			fmt.Fprintf(c.ErrOrStderr(), "Next: agentapi config validate %s\n", filepath.Clean(out))
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "agentapi.yaml", "the file to write")
	c.Flags().BoolVar(&force, "force", false, "overwrite a file that is there")
	return c
}
