package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"agentapi/adapters/storage/postgres"
	"agentapi/bootstrap"
	"agentapi/domain/fault"
	"agentapi/migrations"
)

func migrateCommand(files *[]string) *cobra.Command {
	c := &cobra.Command{
		Use: "migrate", Short: "Bring the database's schema up to date, and look at it", Args: cobra.NoArgs,
		Long: "Bring the schema of a PostgreSQL database up to date, as the role in DIRECT_URL.\n\n" +
			"Serving never does that. SQLite does it by itself at start.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(upCommand(files), downCommand(files), statusCommand(files), sqlCommand(files), newStepCommand())
	return c
}

// migrator connects to the configured database; ok is false where the storage needs no
// migrations, which is said, and an error where a database is named all the same.
func migrator(ctx context.Context, files []string, out io.Writer) (m *postgres.Migrator, ok bool, err error) {
	loaded, err := load(files, nil)
	if err != nil {
		return nil, false, err
	}
	if d := loaded.Storage.Driver; d != "postgres" {
		for _, name := range []string{"DATABASE_URL", "DIRECT_URL"} { // whoever sets these means a database
			if os.Getenv(name) != "" {
				return nil, false, &exit{
					code: exitConfig, err: fmt.Errorf("%s is set, but storage.driver is %s: no database was touched", name, d),
					fix: "set storage.driver to postgres, or unset " + name,
				}
			}
		}
		for _, n := range loaded.Notices {
			fmt.Fprintf(out, "note: %s\n", n)
		}
		fmt.Fprintf(out, "storage.driver is %s, which needs no migrations; set DATABASE_URL for PostgreSQL\n", d)
		return nil, false, nil
	}
	o, err := bootstrap.PostgresOptions(loaded.Config)
	if err != nil {
		return nil, false, &exit{code: exitConfig, err: err}
	}
	m, err = postgres.Migrate(ctx, o)
	return m, err == nil, migrationFailed(err)
}

// migrationFailed gives a failure its exit code and fix.
func migrationFailed(err error) error {
	if err == nil {
		return nil
	}
	e := &exit{code: exitDependency, err: err}
	if f := fault.As(err); f != nil {
		if e.fix = f.Hint; f.Kind == fault.Invalid {
			e.code = exitConfig
		}
	}
	return e
}

func upCommand(files *[]string) *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use: "up", Short: "Apply the steps that are pending, and give the server's role its rights", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			m, ok, err := migrator(c.Context(), *files, c.OutOrStdout())
			if !ok {
				return err
			}
			defer m.Close()
			if !dry {
				if err := m.Up(c.Context(), func(what string) { fmt.Fprintln(c.OutOrStdout(), what) }); err != nil {
					return migrationFailed(err)
				}
			}
			return summary(c.Context(), c.OutOrStdout(), m, dry)
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "only say which steps are pending")
	return c
}

// summary says where the schema stands and, if asked, what is pending.
func summary(ctx context.Context, out io.Writer, m *postgres.Migrator, pending bool) error {
	steps, err := m.Status(ctx)
	if err != nil {
		return migrationFailed(err)
	}
	var version int64
	applied := 0
	for _, s := range steps {
		if !s.Applied.IsZero() {
			version = s.Version
			applied++
		} else if pending {
			fmt.Fprintf(out, "pending %s\n", s.Name)
		}
	}
	fmt.Fprintf(out, "database is at version %d (%d applied, %d pending)\n", version, applied, len(steps)-applied)
	return nil
}

func downCommand(files *[]string) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "down", Short: "Take the last step back, with the data that it holds", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !yes {
				return &exit{code: exitUsage, err: errors.New("down deletes what the step's tables hold"), fix: "say that you mean it: agentapi migrate down --yes"}
			}
			m, ok, err := migrator(c.Context(), *files, c.OutOrStdout())
			if !ok {
				return err
			}
			defer m.Close()
			step, err := m.Down(c.Context())
			if err != nil {
				return migrationFailed(err)
			}
			if step == nil {
				fmt.Fprintln(c.OutOrStdout(), "no step is applied")
				return nil
			}
			fmt.Fprintf(c.OutOrStdout(), "took back %s (%d ms)\n", step.Name, step.Took.Milliseconds())
			return summary(c.Context(), c.OutOrStdout(), m, false)
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func statusCommand(files *[]string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "status", Short: "List the steps, applied and pending", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			m, ok, err := migrator(c.Context(), *files, c.OutOrStdout())
			if !ok {
				return err
			}
			defer m.Close()
			steps, err := m.Status(c.Context())
			if err != nil {
				return migrationFailed(err)
			}
			return printSteps(c.OutOrStdout(), steps, asJSON)
		},
	}
	output(c, &asJSON)
	return c
}

func printSteps(out io.Writer, steps []migrations.Step, asJSON bool) error {
	type step struct {
		Version int64      `json:"version"`
		Name    string     `json:"name"`
		Applied *time.Time `json:"applied_at"`
	}
	rows := make([]step, len(steps))
	for i, s := range steps {
		rows[i] = step{Version: s.Version, Name: s.Name}
		if !s.Applied.IsZero() {
			rows[i].Applied = &s.Applied
		}
	}
	if asJSON {
		if err := json.NewEncoder(out).Encode(rows); err != nil {
			return &exit{code: exitError, err: err}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tSTEP\tAPPLIED")
	for _, r := range rows {
		applied := "pending"
		if r.Applied != nil {
			applied = r.Applied.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\n", r.Version, r.Name, applied)
	}
	return table.Flush()
}

func sqlCommand(files *[]string) *cobra.Command {
	return &cobra.Command{
		Use: "sql", Short: "Print the whole schema as SQL, to be run by hand in an empty database", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := load(*files, nil)
			if err != nil {
				return err
			}
			o, err := bootstrap.PostgresOptions(loaded.Config)
			if err != nil {
				return &exit{code: exitConfig, err: err}
			}
			text, err := postgres.SQL(o)
			if err != nil {
				return migrationFailed(err)
			}
			fmt.Fprint(c.OutOrStdout(), text)
			return nil
		},
	}
}

var stepName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func newStepCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "new NAME", Short: "Write an empty step for each dialect, in a checkout of the source", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !stepName.MatchString(args[0]) {
				return &exit{code: exitUsage, err: fmt.Errorf("%q is no name for a step", args[0]), fix: "use lower-case letters, digits and underscores, such as add_labels"}
			}
			for _, dialect := range []migrations.Dialect{migrations.Postgres, migrations.SQLite} {
				path, err := writeStep(filepath.Join(dir, string(dialect)), args[0], dialect)
				if err != nil {
					return &exit{code: exitError, err: err, fix: "run it at the top of the source, or name the folder with --dir"}
				}
				fmt.Fprintln(c.OutOrStdout(), path)
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "migrations", "the folder that has one for each dialect")
	return c
}

// writeStep writes an empty step with the next number of the folder.
func writeStep(dir, name string, d migrations.Dialect) (string, error) {
	steps, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	next := 1
	for _, s := range steps {
		if n, err := strconv.Atoi(s.Name()[:min(4, len(s.Name()))]); err == nil {
			next = max(next, n+1)
		}
	}
	patience := ""
	if d == migrations.Postgres {
		patience = "SET LOCAL lock_timeout = '2s';\n"
	}
	path := filepath.Join(dir, fmt.Sprintf("%04d_%s.sql", next, name))
	return path, os.WriteFile(path, []byte("-- +goose Up\n"+patience+"\n-- +goose Down\n"+patience), 0o644)
}
