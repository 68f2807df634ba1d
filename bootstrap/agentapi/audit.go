package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"agentapi/adapters/audit/file"
	"agentapi/application/access"
	"agentapi/application/trail"
	"agentapi/bootstrap"
	"agentapi/configs"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/ports"
)

func auditCommand(files *[]string) *cobra.Command {
	c := &cobra.Command{
		Use: "audit", Short: "See, export and verify the audit log", Args: cobra.NoArgs,
		Long: "See, export and verify the log of who did what.\n\n" +
			"These commands work on the configured storage itself. SQLite's file has one user at a time: stop the server\n" +
			"first. An export is verified anywhere, with the checkpoints that were kept apart from the storage.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(auditTail(files), auditExport(files), auditVerify(files), auditCheckpoints(files), auditRetain(files))
	return c
}

// auditing runs do on the configured storage.
func auditing(c *cobra.Command, files []string, do func(*configs.Config, bootstrap.Setting, ports.Storage) error) error {
	loaded, err := load(files, nil)
	if err != nil {
		return err
	}
	dir, err := dataDir()
	if err != nil {
		return err
	}
	s := bootstrap.NewSetting(dir, "")
	err = bootstrap.Stored(c.Context(), loaded.Config, s, func(storage ports.Storage) error { return do(loaded.Config, s, storage) })
	switch e := (*exit)(nil); {
	case err == nil, errors.As(err, &e):
		return err
	case fault.Is(err, fault.Invalid):
		return &exit{code: exitUsage, err: err}
	default:
		return orAsk(err, loaded.Config, "platform/audit")
	}
}

// record has the log say what a command did to it.
func record(c *cobra.Command, storage ports.Storage, conf *configs.Config, s bootstrap.Setting, action audit.Action, how audit.Outcome, details map[string]string) error {
	return bootstrap.Recorder(conf, storage, s).Record(c.Context(), trail.Note{Action: action, Actor: audit.Operator, Outcome: how, Details: details})
}

// asked are the flags that choose entries.
type asked struct{ org, actor, action, since, until string }

func (a *asked) flags(c *cobra.Command) {
	c.Flags().StringVar(&a.org, "org", "", "only an organisation's: its id (org_…), or issuer and name (dev/acme)")
	c.Flags().StringVar(&a.actor, "actor", "", "only what this actor did: a pseudonym (subject_…), system or operator")
	c.Flags().StringVar(&a.action, "action", "", "only these, such as chat.completed")
	c.Flags().StringVar(&a.since, "since", "", "from this time on, such as 2026-01-31 or 2026-01-31T12:00:00Z")
	c.Flags().StringVar(&a.until, "until", "", "before this time")
}

func (a *asked) filter() (f audit.Filter, err error) {
	usage := func(err error) error { return &exit{code: exitUsage, err: err} }
	if a.org != "" {
		if f.Org, err = access.Org(a.org); err != nil {
			return f, usage(fmt.Errorf("--org: %w", err))
		}
	}
	f.Actor, f.Action = a.actor, audit.Action(a.action)
	if a.action != "" && !slices.Contains(audit.Actions(), f.Action) {
		return f, usage(fmt.Errorf("--action: there is no %q; there are %v", a.action, audit.Actions()))
	}
	for text, at := range map[string]*time.Time{a.since: &f.Since, a.until: &f.Until} {
		if text == "" {
			continue
		}
		if *at, err = time.Parse(time.DateOnly, text); err != nil {
			if *at, err = time.Parse(time.RFC3339, text); err != nil {
				return f, usage(fmt.Errorf("%q is no time, such as 2026-01-31 or 2026-01-31T12:00:00Z", text))
			}
		}
	}
	return f, nil
}

func auditTail(files *[]string) *cobra.Command {
	var (
		a      asked
		limit  int
		asJSON bool
	)
	c := &cobra.Command{Use: "tail", Short: "Show the last entries, the newest at the end", Args: cobra.NoArgs}
	a.flags(c)
	c.Flags().IntVarP(&limit, "limit", "n", page.DefaultLimit, fmt.Sprintf("how many, %d at most", page.MaxLimit))
	output(c, &asJSON)
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := a.filter()
		if err != nil {
			return err
		}
		return auditing(c, *files, func(_ *configs.Config, _ bootstrap.Setting, storage ports.Storage) error {
			q, err := page.Query{Limit: limit, Desc: true}.Normal()
			if err != nil {
				return err
			}
			found, err := storage.Trail().List(c.Context(), f, q)
			if err != nil {
				return err
			}
			slices.Reverse(found.Items)
			return printEntries(c.OutOrStdout(), found.Items, asJSON)
		})
	}
	return c
}

func printEntries(out io.Writer, all []audit.Sealed, asJSON bool) error {
	if asJSON {
		lines := json.NewEncoder(out)
		lines.SetEscapeHTML(false)
		for _, e := range all {
			if err := lines.Encode(struct {
				Seq   uint64          `json:"seq"`
				ID    string          `json:"id"`
				Entry json.RawMessage `json:"entry"`
			}{e.Seq, e.Columns.ID.String(), e.Canon}); err != nil {
				return &exit{code: exitError, err: err}
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SEQ\tTIME\tACTION\tOUTCOME\tACTOR\tTARGET\tREQUEST")
	for _, e := range all {
		c := &e.Columns
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Seq, c.At().Format(time.RFC3339), c.Action, c.Outcome, c.Actor, c.Target, c.Request)
	}
	return table.Flush()
}

func auditExport(files *[]string) *cobra.Command {
	var (
		a    asked
		path string
	)
	c := &cobra.Command{
		Use: "export", Short: "Write the log to a file, one JSON object to a line", Args: cobra.NoArgs,
		Long: "Write the log to a file that only you can read, one JSON object to a line; the last line counts them and has\n" +
			"the SHA-256 of all before it. Without flags it is the whole log, and with --org alone an organisation's own:\n" +
			"both can be verified.",
		Example: "  agentapi audit export --out audit.jsonl",
	}
	a.flags(c)
	c.Flags().StringVar(&path, "out", "", "the file to write; it must not be there yet")
	c.RunE = func(c *cobra.Command, _ []string) error {
		f, err := a.filter()
		if err != nil {
			return err
		}
		if path == "" {
			return &exit{code: exitUsage, err: errors.New("an export needs a file"), fix: "name one that is not there yet: --out audit.jsonl"}
		}
		return auditing(c, *files, func(conf *configs.Config, s bootstrap.Setting, storage ports.Storage) error {
			out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return &exit{code: exitError, err: err, fix: "name a file that is not there yet"}
			}
			done, err := trail.Export(c.Context(), storage, f, out)
			if err = errors.Join(err, out.Close()); err != nil {
				return errors.Join(err, os.Remove(path)) // a part would be taken for the whole
			}
			if err := record(c, storage, conf, s, audit.AuditExported, audit.OK, map[string]string{"entries": fmt.Sprint(done.Entries), "sha256": done.SHA256}); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "exported %d entries, %d to %d, sha256 %s\n", done.Entries, done.First, done.Last, done.SHA256)
			return nil
		})
	}
	return c
}

func auditVerify(files *[]string) *cobra.Command {
	var (
		notes, org  string
		paths, keys []string
		asJSON      bool
	)
	c := &cobra.Command{
		Use: "verify", Short: "Say whether the log is what it was", Args: cobra.NoArgs,
		Long: "Say whether the log is what it was: every entry, and the checkpoints that were signed. Ends with 5 if it is\n" +
			"not, and names the first bad entry.\n\n" +
			"With --export it needs no storage. What was cut from the end, or hashed anew by whoever has the database,\n" +
			"shows by checkpoints that they could not change: name them with --checkpoints, and the key with --key.",
		Example: "  agentapi audit verify\n  agentapi audit verify --export audit.jsonl --checkpoints audit-checkpoints --key 'agentapi-audit/…'",
	}
	c.Flags().StringArrayVar(&paths, "export", nil, "verify this export instead of the storage; several are parts of one, in their order")
	c.Flags().StringVar(&notes, "checkpoints", "", "hold it against the checkpoints in this file, too; those in the data folder if absent")
	c.Flags().StringVar(&org, "org", "", "the export is of this organisation alone")
	c.Flags().StringArrayVar(&keys, "key", nil, "a public key that has signed checkpoints, as agentapi audit checkpoints shows it; the configured one if absent")
	output(c, &asJSON)
	c.RunE = func(c *cobra.Command, _ []string) error {
		trusted, err := parseKeys(keys)
		if err != nil {
			return err
		}
		var found audit.Verdict
		if len(paths) > 0 {
			found, err = verifyExport(paths, notes, org, trusted)
		} else {
			err = auditing(c, *files, func(conf *configs.Config, s bootstrap.Setting, storage ports.Storage) (err error) {
				if len(trusted) == 0 {
					key, err := bootstrap.AuditKey(conf, s)
					if err != nil {
						return err
					}
					trusted = append(trusted, key)
				}
				kept := bootstrap.CheckpointFile(conf, s)
				if notes != "" {
					kept = file.Notes{Path: notes}
				}
				more, err := kept.Kept(c.Context())
				if err != nil {
					return unreadable(kept.Path, err)
				}
				if found, err = trail.Verify(c.Context(), storage, trail.Part{}, more, trusted); err != nil {
					return err
				}
				outcome, details := audit.OK, map[string]string{"entries": fmt.Sprint(found.Entries)}
				if f := found.Finding; f != nil {
					outcome, details["kind"], details["first"] = audit.Failed, string(f.Kind), fmt.Sprint(f.Seq)
				}
				return record(c, storage, conf, s, audit.AuditVerified, outcome, details)
			})
		}
		if err != nil {
			return err
		}
		return printVerdict(c.OutOrStdout(), found, asJSON)
	}
	return c
}

func unreadable(path string, err error) error {
	return &exit{code: exitDependency, err: fmt.Errorf("%s: %w", path, err), fix: "see that the file is whole"}
}

func parseKeys(texts []string) (out []audit.Key, err error) {
	for _, text := range texts {
		k, err := audit.ParseKey(text)
		if err != nil {
			return nil, &exit{code: exitUsage, err: err}
		}
		out = append(out, k)
	}
	return out, nil
}

func verifyExport(paths []string, notes, org string, keys []audit.Key) (found audit.Verdict, err error) {
	var v audit.Verifier
	if org != "" {
		if v.Whose, err = access.Org(org); err != nil {
			return found, &exit{code: exitUsage, err: fmt.Errorf("--org: %w", err)}
		}
	}
	kept, err := file.Notes{Path: notes}.Kept(context.Background())
	if err != nil {
		return found, unreadable(notes, err)
	}
	if len(kept) > 0 && len(keys) == 0 {
		return found, &exit{code: exitUsage, err: errors.New("checkpoints show nothing without the key that signed them"), fix: "name it: --key 'agentapi-audit/…'"}
	}
	var exports []io.ReadSeeker
	for _, path := range paths {
		in, err := os.Open(path)
		if err != nil {
			return found, &exit{code: exitDependency, err: err}
		}
		defer in.Close()
		exports = append(exports, in)
	}
	if found, err = trail.VerifyExport(&v, kept, keys, exports...); err != nil {
		return found, unreadable(strings.Join(paths, ", "), err)
	}
	return found, nil
}

func printVerdict(out io.Writer, v audit.Verdict, asJSON bool) error {
	f := v.Finding
	if asJSON {
		if err := json.NewEncoder(out).Encode(trail.Shown(v)); err != nil {
			return &exit{code: exitError, err: err}
		}
	} else {
		fmt.Fprintf(out, "%d entries, %d to %d, held against %d checkpoints\n", v.Entries, v.First, v.Last, v.Checkpoints)
		if v.Unknown > 0 {
			fmt.Fprintf(out, "%d checkpoints are signed by keys that are not known; name those with --key\n", v.Unknown)
		}
	}
	if f != nil {
		where := fmt.Sprintf("entry %d", f.Seq)
		if f.Through != f.Seq {
			where = fmt.Sprintf("entries %d to %d", f.Seq, f.Through)
		}
		return &exit{code: exitRefused, err: fmt.Errorf("the audit log is not what it was: %s, %s: %s", f.Kind, where, f.What),
			fix: "keep the storage as it is, and hold it against a backup and the checkpoints that were kept elsewhere"}
	}
	if !asJSON {
		fmt.Fprintln(out, "the audit log is whole")
	}
	return nil
}

func auditRetain(files *[]string) *cobra.Command {
	return &cobra.Command{
		Use: "retain", Short: "Export what is old, and remove it from the log", Args: cobra.NoArgs,
		Long: "Do now what servers do every hour where audit.retention says so: entries that are older are verified and exported\n" +
			"to the folder, the log says so, signed, and then they are removed. The rest can be verified as before.",
		RunE: func(c *cobra.Command, _ []string) error {
			return auditing(c, *files, func(conf *configs.Config, s bootstrap.Setting, storage ports.Storage) error {
				if conf.Audit.Retention.After <= 0 {
					return &exit{code: exitUsage, err: errors.New("audit.retention.after is not set: all entries are kept"), fix: "set it, and audit.retention.folder"}
				}
				svc, err := bootstrap.Trail(conf, storage, s)
				if err != nil {
					return err
				}
				for {
					done, err := svc.Retain(c.Context())
					if err != nil {
						return err
					}
					if done.Entries == 0 {
						fmt.Fprintln(c.OutOrStdout(), "nothing else is older than", conf.Audit.Retention.After)
						return nil
					}
					fmt.Fprintf(c.OutOrStdout(), "retired %d entries, %d to %d, to %s\n", done.Entries, done.First, done.Last, filepath.Join(conf.Audit.Retention.Folder, done.Name))
				}
			})
		},
	}
}

func auditCheckpoints(files *[]string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "checkpoints", Short: "Show the checkpoints that are stored, and the key", Args: cobra.NoArgs,
		Long: "Show the last checkpoints that are stored, and the public key that signs them. With -o json each is whole.",
	}
	output(c, &asJSON)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return auditing(c, *files, func(conf *configs.Config, s bootstrap.Setting, storage ports.Storage) error {
			key, err := bootstrap.AuditKey(conf, s)
			if err != nil {
				return err
			}
			last, err := storage.Trail().LastCheckpoint(c.Context())
			if err != nil {
				return err
			}
			const shown = 20
			all, err := storage.Trail().Checkpoints(c.Context(), max(last.Number, shown)-shown, shown)
			if err != nil {
				return err
			}
			return printCheckpoints(c.OutOrStdout(), key, all, asJSON)
		})
	}
	return c
}

func printCheckpoints(out io.Writer, key audit.Key, all []audit.Checkpoint, asJSON bool) error {
	if asJSON {
		type checkpoint struct {
			Number uint64    `json:"number"`
			Size   uint64    `json:"size"`
			At     time.Time `json:"at"`
			Note   string    `json:"note"`
		}
		answer := struct {
			Key         string       `json:"key"`
			Checkpoints []checkpoint `json:"checkpoints"`
		}{key.String(), []checkpoint{}}
		for _, c := range all {
			answer.Checkpoints = append(answer.Checkpoints, checkpoint{c.Number, c.Size, c.At, c.Note})
		}
		if err := json.NewEncoder(out).Encode(answer); err != nil {
			return &exit{code: exitError, err: err}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NUMBER\tENTRIES\tTIME\tSIGNED")
	for _, c := range all {
		signed := "by another key"
		if good, known := c.Signed([]audit.Key{key}); good {
			signed = "yes"
		} else if known {
			signed = "NO"
		}
		fmt.Fprintf(table, "%d\t%d\t%s\t%s\n", c.Number, c.Size, c.At.Format(time.RFC3339), signed)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "key %s\n", key)
	return nil
}
