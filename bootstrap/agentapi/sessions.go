package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

func sessionsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "sessions", Short: "See and change your stored conversations on a running server",
		Long: "See and change your stored conversations on a running server, which is found as agentapi chat finds it.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(sessionsList(), sessionsShow(), sessionsRename(), sessionsArchive(), sessionsDelete(), sessionsExport())
	return c
}

// storedSession is a session as the server gives it.
type storedSession struct {
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Agent    string            `json:"agent"`
	Model    string            `json:"model"`
	Messages int               `json:"message_count"`
	Archived bool              `json:"archived"`
	Metadata map[string]string `json:"metadata"`
	Created  time.Time         `json:"created_at"`
	Updated  time.Time         `json:"updated_at"`
}

func (s *storedSession) served() string {
	if s.Agent == "" {
		return ""
	}
	return s.Agent + "/" + s.Model
}

func (s *storedSession) state() string {
	if s.Archived {
		return "archived"
	}
	return "open"
}

func sessionsList() *cobra.Command {
	var (
		how    listing
		wanted = map[string]*string{}
	)
	c := &cobra.Command{
		Use: "list", Short: "List your sessions, the newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			query := url.Values{}
			for name, value := range wanted {
				if *value != "" {
					query.Set(name, *value)
				}
			}
			return showAll(c, cl, "/api/v1/sessions", query, how, "ID\tUPDATED\tMESSAGES\tMODEL\tSTATE\tTITLE", func(s storedSession) string {
				return fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%s", s.ID, s.Updated.Format(time.RFC3339), s.Messages, line(s.served()), s.state(), line(s.Title))
			})
		},
	}
	for _, f := range []struct{ flag, name, use string }{
		{"status", "status", "open, archived or all; open if absent"}, {"agent", "agent", "those whose last turn was this agent's"},
		{"model", "model", "those whose last turn was this model's"}, {"since", "since", "those made at this time (RFC 3339) or later"},
		{"until", "until", "those made before this time (RFC 3339)"}, {"search", "q", "those with this in their title"},
	} {
		wanted[f.name] = c.Flags().String(f.flag, "", f.use)
	}
	how.flags(c, 20)
	return c
}

func sessionsShow() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show ID", Short: "Show a session and what was said in it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			raw, err := cl.read(c.Context(), http.MethodGet, sessionPath(args[0]), nil)
			if err != nil || asJSON {
				return orPrint(out, raw, err)
			}
			var s storedSession
			if err := json.Unmarshal(raw, &s); err != nil {
				return notOurs(err)
			}
			if err := s.print(out); err != nil {
				return err
			}
			said, err := cl.all(c.Context(), sessionPath(args[0])+"/messages", url.Values{}, s.Messages)
			if err != nil {
				return err
			}
			for _, raw := range said {
				var m struct {
					Role    string
					Content any
				}
				if err := json.Unmarshal(raw, &m); err != nil {
					return notOurs(err)
				}
				text, plain := m.Content.(string)
				if !plain && m.Content != nil {
					text = "(not only text: agentapi sessions export shows it)"
				}
				fmt.Fprintf(out, "\n%s:\n%s\n", line(m.Role), printable(text, true))
			}
			return nil
		},
	}
	output(c, &asJSON)
	return c
}

func (s *storedSession) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "id\t%s\ntitle\t%s\nstate\t%s\nmodel\t%s\nmessages\t%d\ncreated\t%s\nupdated\t%s\n",
		s.ID, line(s.Title), s.state(), line(s.served()), s.Messages, s.Created.Format(time.RFC3339), s.Updated.Format(time.RFC3339))
	for _, k := range slices.Sorted(maps.Keys(s.Metadata)) {
		fmt.Fprintf(table, "%s\t%s\n", line(k), line(s.Metadata[k]))
	}
	return table.Flush()
}

func sessionsRename() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "rename ID TITLE", Short: "Give a session another title", Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return changeSession(c, args[0], map[string]any{"title": strings.Join(args[1:], " ")}, asJSON, "renamed")
		},
	}
	output(c, &asJSON)
	return c
}

func sessionsArchive() *cobra.Command {
	var asJSON, undo bool
	c := &cobra.Command{
		Use: "archive ID", Short: "Put a session out of the way: it takes no new turns", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			did := "archived"
			if undo {
				did = "opened"
			}
			return changeSession(c, args[0], map[string]any{"archived": !undo}, asJSON, did)
		},
	}
	c.Flags().BoolVar(&undo, "undo", false, "open it again")
	output(c, &asJSON)
	return c
}

// changeSession sends a patch and says what it did.
func changeSession(c *cobra.Command, id string, patch map[string]any, asJSON bool, did string) error {
	cl, err := newClient(c, "")
	if err != nil {
		return err
	}
	body, err := json.Marshal(patch)
	if err != nil {
		return &exit{code: exitError, err: err}
	}
	raw, err := cl.read(c.Context(), http.MethodPatch, sessionPath(id), body)
	if err != nil || asJSON {
		return orPrint(c.OutOrStdout(), raw, err)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s %s\n", did, line(id))
	return nil
}

func sessionsDelete() *cobra.Command {
	var asJSON, yes bool
	c := &cobra.Command{
		Use: "delete ID", Short: "Delete a session with all that was said in it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !yes {
				return &exit{code: exitUsage, err: errors.New("a session that is deleted is gone for good"),
					fix: "say that you mean it: agentapi sessions delete " + line(args[0]) + " --yes"}
			}
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			raw, err := cl.read(c.Context(), http.MethodDelete, sessionPath(args[0]), nil)
			if err != nil || asJSON {
				return orPrint(c.OutOrStdout(), raw, err)
			}
			fmt.Fprintf(c.OutOrStdout(), "deleted %s\n", line(args[0]))
			return nil
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	output(c, &asJSON)
	return c
}

func sessionsExport() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "export ID", Short: "Write a session and all its messages as JSON", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := newClient(c, "")
			if err != nil {
				return err
			}
			resp, err := cl.do(c.Context(), http.MethodGet, sessionPath(args[0])+"/export", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			out := c.OutOrStdout()
			if file != "" {
				f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
				if err != nil {
					return &exit{code: exitError, err: err}
				}
				defer f.Close()
				out = f
			}
			if _, err := io.Copy(out, resp.Body); err != nil {
				return &exit{code: exitError, err: fmt.Errorf("the export was cut off: %w", err)}
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "out", "", "the file to write, readable by you only; the standard output if absent")
	return c
}

func sessionPath(id string) string { return "/api/v1/sessions/" + url.PathEscape(id) }

// all reads a list page by page, up to most elements.
func (cl *client) all(ctx context.Context, path string, query url.Values, most int) (found []json.RawMessage, err error) {
	const largest = 100
	for len(found) < most {
		query.Set("limit", strconv.Itoa(min(most-len(found), largest)))
		raw, err := cl.read(ctx, http.MethodGet, path+"?"+query.Encode(), nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Data   []json.RawMessage `json:"data"`
			LastID string            `json:"last_id"`
			More   bool              `json:"has_more"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return nil, notOurs(err)
		}
		found = append(found, page.Data...)
		if !page.More {
			break
		}
		query.Set("after", page.LastID)
	}
	return found, nil
}

// read gives the whole body of an answer.
func (cl *client) read(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	resp, err := cl.do(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &exit{code: exitError, err: errors.New("the answer was cut off")}
	}
	return text, nil
}

func notOurs(err error) error {
	return &exit{code: exitError, err: fmt.Errorf("the server's answer is none of agentapi's: %w", err)}
}

// orPrint writes JSON as the server gave it, unless there is an error.
func orPrint(out io.Writer, raw []byte, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", raw)
	return err
}

// line is a text that others wrote, fit for one line of a terminal.
func line(text string) string { return printable(text, false) }

// printable leaves out what would steer a terminal.
func printable(text string, lines bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case lines && (r == '\n' || r == '\t'):
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return '\ufffd'
		default:
			return r
		}
	}, text)
}
