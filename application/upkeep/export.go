package upkeep

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"time"

	"agentapi/application/trail"
	"agentapi/domain/audit"
	"agentapi/domain/chat"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
	"agentapi/domain/usage"
)

// Exported is what an export holds; it is its last line, with the SHA-256 of all
// lines before.
type Exported struct {
	Kind     string `json:"kind"` // end
	Sessions int    `json:"sessions"`
	Messages int    `json:"messages"`
	Usage    int    `json:"usage"`
	Personal int    `json:"personal"` // values that the audit log has commitments to
	SHA256   string `json:"sha256"`
}

type sessionLine struct {
	Kind     string            `json:"kind"` // session
	ID       string            `json:"id"`
	Title    string            `json:"title"`
	Source   string            `json:"key_source,omitempty"`
	Key      string            `json:"key,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Archived bool              `json:"archived"`
	Agent    string            `json:"agent"`
	Model    string            `json:"model"`
	Created  time.Time         `json:"created_at"`
	Updated  time.Time         `json:"updated_at"`
}

type messageLine struct {
	Kind       string     `json:"kind"` // message
	ID         string     `json:"id"`
	Session    string     `json:"session_id"`
	Sequence   int        `json:"sequence"`
	Role       string     `json:"role"`
	Name       string     `json:"name,omitempty"`
	Content    []any      `json:"content"` // parts as OpenAI has them; null where there is no content
	Refusal    string     `json:"refusal,omitempty"`
	ToolCalls  []toolCall `json:"tool_calls,omitempty"`
	ToolCallID string     `json:"tool_call_id,omitempty"`
	Agent      string     `json:"agent,omitempty"`
	Model      string     `json:"model,omitempty"`
	TokensIn   int        `json:"tokens_in"`
	TokensOut  int        `json:"tokens_out"`
	Request    string     `json:"request_id"`
	Created    time.Time  `json:"created_at"`
}

type toolCall struct {
	ID        string `json:"id"`
	Custom    bool   `json:"custom,omitempty"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

func lineOfTurn(id session.ID, t *session.Turn) messageLine {
	m := &t.Message
	line := messageLine{
		Kind: "message", ID: t.ID.String(), Session: id.String(), Sequence: t.Seq, Role: string(m.Role), Name: m.Name, Refusal: m.Refusal,
		ToolCallID: m.ToolCallID, Agent: string(t.Agent), Model: t.Model, TokensIn: t.TokensIn, TokensOut: t.TokensOut, Request: t.Request, Created: t.Created,
	}
	if m.Parts != nil {
		line.Content = []any{}
	}
	for _, p := range m.Parts {
		if p.JSON != nil {
			line.Content = append(line.Content, json.RawMessage(p.JSON))
		} else {
			line.Content = append(line.Content, map[string]string{"type": string(p.Kind), string(p.Kind): p.Text})
		}
	}
	for _, c := range m.ToolCalls {
		line.ToolCalls = append(line.ToolCalls, toolCall{c.ID, c.Custom, c.Name, c.Arguments})
	}
	return line
}

type usageLine struct {
	Kind    string     `json:"kind"` // usage
	ID      string     `json:"id"`
	Session string     `json:"session_id"`
	Request string     `json:"request_id"`
	Agent   string     `json:"agent"`
	Model   string     `json:"model"`
	Tokens  chat.Usage `json:"tokens"`
	Outcome string     `json:"outcome"`
	At      time.Time  `json:"at"`
}

type personalLine struct {
	Kind       string `json:"kind"` // personal
	Name       string `json:"name"` // what it is, such as ip
	Value      string `json:"value"`
	Commitment string `json:"commitment"` // as it stands in the audit log
}

// Export writes all that is stored of a user, one JSON object to a line: each
// session followed by its messages, then usage, then where the user came from, then
// an Exported. It holds one page
// at a time.
func (s *Service) Export(ctx context.Context, in tenancy.Scope, to io.Writer) (done Exported, err error) {
	// Before anything goes out; the log's own pseudonym goes with it.
	err = s.Audit.Record(ctx, trail.Note{Action: audit.DataExported, Who: in, Details: map[string]string{"by": audit.Operator}})
	if err != nil {
		return done, err
	}
	return s.export(ctx, in, to)
}

// Pieces is Export for somebody who takes it in pieces and has been recorded.
func (s *Service) Pieces(ctx context.Context, in tenancy.Scope) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		_, err := s.export(ctx, in, pieces(func(p []byte) bool { return yield(p, nil) }))
		if err != nil && !errors.Is(err, errLeft) {
			yield(nil, err)
		}
	}
}

// errLeft says that nobody takes more.
var errLeft = errors.New("nobody takes more of an export")

// pieces hands on what is written.
type pieces func([]byte) bool

func (to pieces) Write(p []byte) (int, error) {
	if !to(bytes.Clone(p)) {
		return 0, errLeft
	}
	return len(p), nil
}

func (s *Service) export(ctx context.Context, in tenancy.Scope, to io.Writer) (done Exported, err error) {
	sum := sha256.New()
	out := bufio.NewWriter(to)
	lines := json.NewEncoder(io.MultiWriter(out, sum))
	for q := (page.Query{Limit: page.MaxLimit}); ; {
		found, err := s.Storage.Sessions().List(ctx, in, session.Filter{}, q)
		if err != nil {
			return done, err
		}
		for _, v := range found.Items {
			if err := lines.Encode(lineOf(v)); err != nil {
				return done, err
			}
			done.Sessions++
			n, err := s.messages(ctx, in, v.ID, lines)
			if done.Messages += n; err != nil {
				return done, err
			}
		}
		if !found.More {
			break
		}
		q.After = found.Items[len(found.Items)-1].ID.String()
	}
	for after := (usage.ID{}); ; {
		records, err := s.Storage.Usage().Records(ctx, in, after, batch)
		if err != nil {
			return done, err
		}
		for _, r := range records {
			err := lines.Encode(usageLine{
				"usage", r.ID.String(), r.Session.String(), r.Request, string(r.Agent), r.Model, r.Tokens, string(r.Outcome), r.At,
			})
			if err != nil {
				return done, err
			}
			done.Usage++
			after = r.ID
		}
		if len(records) < batch {
			break
		}
	}
	values, err := s.Storage.Audit().Values(ctx, in)
	if err != nil {
		return done, err
	}
	for _, v := range values {
		if err := lines.Encode(personalLine{"personal", v.Name, v.Clear, v.Commitment}); err != nil {
			return done, err
		}
		done.Personal++
	}
	done.Kind, done.SHA256 = "end", hex.EncodeToString(sum.Sum(nil))
	if err := lines.Encode(done); err != nil {
		return done, err
	}
	return done, out.Flush()
}

func lineOf(v *session.Session) sessionLine {
	return sessionLine{
		"session", v.ID.String(), v.Title, v.Key.Source, v.Key.Value, v.Metadata, v.Archived, string(v.Agent), v.Model, v.Created, v.Updated,
	}
}

// messages writes a session's turns.
func (s *Service) messages(ctx context.Context, in tenancy.Scope, id session.ID, lines *json.Encoder) (n int, err error) {
	for q := (page.Query{Limit: page.DefaultLimit}); ; {
		found, err := s.Storage.Sessions().Turns(ctx, in, id, q)
		if err != nil {
			return n, err
		}
		for _, t := range found.Items {
			if err := lines.Encode(lineOfTurn(id, &t)); err != nil {
				return n, err
			}
			n++
		}
		if !found.More {
			return n, nil
		}
		q.After = found.Items[len(found.Items)-1].ID.String()
	}
}
