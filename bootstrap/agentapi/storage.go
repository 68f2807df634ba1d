package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"agentapi/adapters/storage/bunstore"
	"agentapi/adapters/storage/postgres"
	"agentapi/bootstrap"
	"agentapi/domain/fault"
)

func storageCommand(files *[]string) *cobra.Command {
	c := &cobra.Command{
		Use: "storage", Short: "Move what is stored", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(copyCommand(files))
	return c
}

func copyCommand(files *[]string) *cobra.Command {
	var (
		from, to string
		asJSON   bool
	)
	c := &cobra.Command{
		Use: "copy", Short: "Copy everything from a SQLite file into a PostgreSQL database", Args: cobra.NoArgs,
		Long: "Copy organisations, users, members, API keys, budgets, sessions, their messages, usage and idempotency\n" +
			"results from a SQLite file, which no server may use meanwhile, into a PostgreSQL database that agentapi\n" +
			"migrate up has prepared. API keys open with the pepper they were made with: give its servers the file's\n" +
			"key-pepper as AGENTAPI_KEY_PEPPER. The audit log stays behind.\n\n" +
			"It writes as the server's own role. When it is broken off, the same command goes on from there;\n" +
			"what is in the database already is left as it is. At the end both sides are counted.",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := sourceFile(from)
			if err != nil {
				return err
			}
			target, err := targetDatabase(*files, to)
			if err != nil {
				return err
			}
			m := newMeter(c.ErrOrStderr())
			found, err := bootstrap.Copy(c.Context(), path, target, m.show)
			m.end()
			if err != nil {
				return copyFailed(c.Context(), err)
			}
			return copyReport(c.OutOrStdout(), found, time.Since(m.begun), asJSON)
		},
	}
	c.Flags().StringVar(&from, "from", "", "the SQLite file: a path or sqlite://PATH; agentapi.db in the data folder if absent")
	c.Flags().StringVar(&to, "to", "", "the database, as the server's role: postgres://…; DATABASE_URL if absent, which other users of this machine do not see")
	output(c, &asJSON)
	return c
}

// sourceFile is the file that from means.
func sourceFile(from string) (string, error) {
	if from == "" {
		dir, err := dataDir()
		return filepath.Join(dir, "agentapi.db"), err
	}
	path, _ := strings.CutPrefix(from, "sqlite://")
	if scheme, _, ok := strings.Cut(path, "://"); ok {
		return "", &exit{code: exitUsage, err: fmt.Errorf("--from: %s is not copied from", scheme),
			fix: "name a SQLite file; no role of the server's sees all organisations of a PostgreSQL database, so use pg_dump there"}
	}
	return path, nil
}

// targetDatabase is the configured database, or the one at the address to.
func targetDatabase(files []string, to string) (o postgres.Options, err error) {
	if to != "" {
		if u, err := url.Parse(to); err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
			return o, &exit{code: exitUsage, err: errors.New("--to: it is not a PostgreSQL database's address"), fix: "write it as postgres://user:password@host/database"}
		}
	}
	loaded, err := load(files, nil)
	if err != nil {
		return o, err
	}
	if o, err = bootstrap.PostgresOptions(loaded.Config); err != nil {
		return o, &exit{code: exitConfig, err: err}
	}
	o.URL = cmp.Or(to, o.URL)
	return o, nil
}

// copyFailed gives a failure its exit code and fix.
func copyFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &exit{code: exitInterrupt, err: err}
	}
	e := &exit{code: exitDependency, err: err, fix: "run the same command again: it goes on from where it was"}
	if f := fault.As(err); f != nil {
		switch f.Kind {
		case fault.Invalid:
			e.code, e.fix = exitConfig, "name the database by --to or DATABASE_URL; agentapi config schema describes every setting"
		case fault.Conflict, fault.Internal:
			e.code = exitError
		}
		e.fix = cmp.Or(f.Hint, e.fix)
	}
	return e
}

// copiedRows is a table, or one organisation's part of it, in the result.
type copiedRows struct {
	Table string `json:"table"`
	Org   string `json:"org,omitempty"`
	Rows  int64  `json:"rows"`
	Added int64  `json:"added"`
	There int64  `json:"there"`
}

// copyReport says what was copied, and fails where the sides differ.
func copyReport(out io.Writer, found []bunstore.Copied, took time.Duration, asJSON bool) error {
	tables, differ := []copiedRows{}, []copiedRows{}
	for _, f := range found {
		if len(tables) == 0 || tables[len(tables)-1].Table != f.Table {
			tables = append(tables, copiedRows{Table: f.Table})
		}
		t := &tables[len(tables)-1]
		t.Rows, t.Added, t.There = t.Rows+f.Rows, t.Added+f.Added, t.There+f.There
		if !f.Same {
			differ = append(differ, copiedRows{f.Table, f.Org.String(), f.Rows, f.Added, f.There})
		}
	}
	if asJSON {
		err := json.NewEncoder(out).Encode(struct {
			OK     bool         `json:"ok"`
			Tables []copiedRows `json:"tables"`
			Differ []copiedRows `json:"differ"`
			Millis int64        `json:"ms"`
		}{len(differ) == 0, tables, differ, took.Milliseconds()})
		if err != nil {
			return &exit{code: exitError, err: err}
		}
	} else {
		for _, t := range tables {
			fmt.Fprintf(out, "%-14s %d rows, %d copied now\n", t.Table, t.Rows, t.Added)
		}
		for _, d := range differ {
			fmt.Fprintf(out, "differs: %s of %s: %d rows here, %d there\n", d.Table, d.Org, d.Rows, d.There)
		}
	}
	if len(differ) > 0 {
		return &exit{code: exitError, err: fmt.Errorf("source and target differ in %d places", len(differ)),
			fix: "either side was written to by a server; copy into an empty database"}
	}
	if !asJSON {
		fmt.Fprintf(out, "source and target are the same, organisation by organisation (%s)\n", took.Round(time.Millisecond))
	}
	return nil
}
