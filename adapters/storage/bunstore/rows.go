package bunstore

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// nothing is what inserts return. Without it bun asks for the columns that are
// null back, and runs a slower query in place of a statement.
const nothing = "NULL"

type sessionRow struct {
	bun.BaseModel `bun:"table:chat_sessions,alias:s"`

	OrgID     string    `bun:"org_id,pk"`
	ID        string    `bun:"id,pk"`
	UserID    string    `bun:"user_id"`
	KeySource *string   `bun:"key_source"`
	KeyValue  *string   `bun:"key_value"`
	Title     string    `bun:"title"`
	Agent     string    `bun:"agent"`
	Model     string    `bun:"model"`
	Native    string    `bun:"native"`
	Turns     int       `bun:"turns"`
	Metadata  string    `bun:"metadata"`
	Archived  bool      `bun:"archived"`
	Version   int       `bun:"version"`
	Folded    *string   `bun:"title_folded"` // null in rows of builds that did not search
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

func (*sessionRow) table() Table {
	return Table{Name: Sessions, Columns: "org_id, id, user_id, key_source, key_value, title, agent, model, native, turns, metadata, archived, version, title_folded, created_at, updated_at"}
}

// Values gives the columns' values.
func (r *sessionRow) Values(to Columns) {
	to.UUID(r.OrgID)
	to.UUID(r.ID)
	to.UUID(r.UserID)
	to.TextOrNull(r.KeySource)
	to.TextOrNull(r.KeyValue)
	to.Text(r.Title)
	to.Text(r.Agent)
	to.Text(r.Model)
	to.Text(r.Native)
	to.Integer(r.Turns)
	to.JSON(r.Metadata)
	to.Boolean(r.Archived)
	to.Bigint(int64(r.Version))
	to.TextOrNull(r.Folded)
	to.Time(r.CreatedAt)
	to.Time(r.UpdatedAt)
}

func rowOfSession(s *session.Session) *sessionRow {
	r := &sessionRow{
		OrgID: s.Org.UUID(), ID: s.ID.UUID(), UserID: s.User.UUID(), Title: storable(s.Title), Agent: storable(string(s.Agent)), Model: storable(s.Model),
		Native: storable(s.Native), Turns: s.Turns, Metadata: pairs(s.Metadata), Archived: s.Archived, Version: s.Version, CreatedAt: session.Moment(s.Created), UpdatedAt: session.Moment(s.Updated),
	}
	folded := session.Folded(r.Title)
	r.Folded = &folded
	if !s.Key.IsZero() {
		source, value := storable(s.Key.Source), storable(s.Key.Value)
		r.KeySource, r.KeyValue = &source, &value
	}
	return r
}

func (r *sessionRow) session() (*session.Session, error) {
	id, err := session.ParseID(r.ID)
	if err != nil {
		return nil, corrupt("session", err)
	}
	org, err := tenancy.ParseOrgID(r.OrgID)
	if err != nil {
		return nil, corrupt("session", err)
	}
	user, err := tenancy.ParseUserID(r.UserID)
	if err != nil {
		return nil, corrupt("session", err)
	}
	s := &session.Session{
		ID: id, Org: org, User: user, Title: r.Title, Agent: agent.Name(r.Agent), Model: r.Model, Native: r.Native,
		Turns: r.Turns, Archived: r.Archived, Version: r.Version, Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(),
	}
	if err := json.Unmarshal([]byte(r.Metadata), &s.Metadata); err != nil {
		return nil, corrupt("session", err)
	}
	if len(s.Metadata) == 0 {
		s.Metadata = nil
	}
	if r.KeySource != nil && r.KeyValue != nil {
		s.Key = session.Key{Source: *r.KeySource, Value: *r.KeyValue}
	}
	return s, nil
}

// storable replaces what databases do not take in text: NUL, and what is no UTF-8. What
// must keep a NUL stands in the metadata.
func storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\ufffd"), "\ufffd")
}

func corrupt(what string, err error) error {
	return fault.Internalf("a stored %s is corrupt: %w", what, err)
}

type messageRow struct {
	bun.BaseModel `bun:"table:chat_messages,alias:m"`

	OrgID     string    `bun:"org_id,pk"`
	SessionID string    `bun:"session_id,pk"`
	Seq       int       `bun:"seq,pk"`
	ID        string    `bun:"id"`
	Role      string    `bun:"role"`
	Content   *string   `bun:"content"`
	TokensIn  int       `bun:"tokens_in"`
	TokensOut int       `bun:"tokens_out"`
	Metadata  string    `bun:"metadata"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

func (*messageRow) table() Table {
	return Table{Name: "chat_messages", Columns: "org_id, session_id, seq, id, role, content, tokens_in, tokens_out, metadata, created_at, updated_at"}
}

// Values gives the columns' values.
func (r *messageRow) Values(to Columns) {
	to.UUID(r.OrgID)
	to.UUID(r.SessionID)
	to.Integer(r.Seq)
	to.UUID(r.ID)
	to.Text(r.Role)
	to.TextOrNull(r.Content)
	to.Integer(r.TokensIn)
	to.Integer(r.TokensOut)
	to.JSON(r.Metadata)
	to.Time(r.CreatedAt)
	to.Time(r.UpdatedAt)
}

// metadata is what of a turn has no column of its own.
type metadata struct {
	Name       words  `json:"name,omitempty"`
	Parts      []part `json:"parts"` // null where content says it all
	ToolCalls  []call `json:"tool_calls,omitempty"`
	ToolCallID words  `json:"tool_call_id,omitempty"`
	Refusal    words  `json:"refusal,omitempty"`
	Agent      words  `json:"agent,omitempty"`
	Model      words  `json:"model,omitempty"`
	Native     words  `json:"native,omitempty"`
	Finish     words  `json:"finish,omitempty"`
	Request    words  `json:"request,omitempty"`
	Store      bool   `json:"store,omitempty"`
}

// text is the metadata in JSON, by hand for a turn that is nothing but words: every
// request writes some.
func (m *metadata) text() ([]byte, error) {
	if m.Parts != nil || m.ToolCalls != nil {
		return json.Marshal(m)
	}
	b := append(make([]byte, 0, 192), `{"parts":null`...)
	for _, f := range [...]struct {
		name string
		is   words
	}{
		{"name", m.Name}, {"tool_call_id", m.ToolCallID}, {"refusal", m.Refusal}, {"agent", m.Agent}, {"model", m.Model},
		{"native", m.Native}, {"finish", m.Finish}, {"request", m.Request},
	} {
		if strings.IndexByte(string(f.is), 0) >= 0 {
			return json.Marshal(m)
		}
		if f.is != "" {
			b = append(append(append(b, `,"`...), f.name...), `":`...)
			b = jsontext.AppendString(b, string(f.is))
		}
	}
	if m.Store {
		b = append(b, `,"store":true`...)
	}
	return append(b, '}'), nil
}

type part struct {
	Kind string `json:"kind"`
	Text words  `json:"text,omitempty"`
	JSON []byte `json:"json,omitempty"`
}

type call struct {
	ID        words `json:"id"`
	Custom    bool  `json:"custom,omitempty"`
	Name      words `json:"name"`
	Arguments words `json:"arguments"`
}

// words is a text in JSON that databases understand, which takes no NUL: a text
// that has one stands there as its bytes, in base64 and a list.
type words string

// MarshalJSON writes the text.
func (w words) MarshalJSON() ([]byte, error) {
	if strings.IndexByte(string(w), 0) >= 0 {
		return json.Marshal([][]byte{[]byte(w)})
	}
	return json.Marshal(string(w))
}

// UnmarshalJSON reads the text.
func (w *words) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '[' {
		return json.Unmarshal(b, (*string)(w))
	}
	var list [1][]byte
	err := json.Unmarshal(b, &list)
	*w = words(list[0])
	return err
}

func rowOfTurn(org tenancy.OrgID, sid session.ID, t *session.Turn) (*messageRow, error) {
	m := &t.Message
	r := &messageRow{
		OrgID: org.UUID(), SessionID: sid.UUID(), Seq: t.Seq, ID: t.ID.UUID(), Role: string(m.Role),
		TokensIn: t.TokensIn, TokensOut: t.TokensOut, CreatedAt: session.Moment(t.Created), UpdatedAt: session.Moment(t.Created),
	}
	meta := metadata{
		Name: words(m.Name), ToolCallID: words(m.ToolCallID), Refusal: words(m.Refusal), Agent: words(t.Agent), Model: words(t.Model), Native: words(t.Native),
		Finish: words(t.Finish), Request: words(t.Request), Store: t.Store,
	}
	if m.Parts != nil {
		text := m.Text()
		whole := storable(text)
		r.Content = &whole
		if len(m.Parts) != 1 || m.Parts[0].Kind != chat.TextPart || whole != text {
			meta.Parts = []part{}
			for _, p := range m.Parts {
				meta.Parts = append(meta.Parts, part{string(p.Kind), words(p.Text), p.JSON})
			}
		}
	}
	for _, c := range m.ToolCalls {
		meta.ToolCalls = append(meta.ToolCalls, call{words(c.ID), c.Custom, words(c.Name), words(c.Arguments)})
	}
	text, err := meta.text()
	if err != nil {
		return nil, fault.Internalf("encoding a turn: %w", err)
	}
	r.Metadata = string(text)
	return r, nil
}

func (r *messageRow) turn() (t session.Turn, err error) {
	var meta metadata
	if err := json.Unmarshal([]byte(r.Metadata), &meta); err != nil {
		return t, corrupt("message", err)
	}
	id, err := session.ParseTurnID(r.ID)
	if err != nil {
		return t, corrupt("message", err)
	}
	t = session.Turn{
		ID: id, Seq: r.Seq, Agent: agent.Name(meta.Agent), Model: string(meta.Model), Native: string(meta.Native), Finish: chat.FinishReason(meta.Finish),
		TokensIn: r.TokensIn, TokensOut: r.TokensOut, Request: string(meta.Request), Store: meta.Store, Created: r.CreatedAt.UTC(),
		Message: chat.Message{Role: chat.Role(r.Role), Name: string(meta.Name), ToolCallID: string(meta.ToolCallID), Refusal: string(meta.Refusal)},
	}
	switch {
	case r.Content == nil:
	case meta.Parts != nil:
		t.Message.Parts = []chat.Part{}
		for _, p := range meta.Parts {
			t.Message.Parts = append(t.Message.Parts, chat.Part{Kind: chat.PartKind(p.Kind), Text: string(p.Text), JSON: p.JSON})
		}
	default:
		t.Message.Parts = []chat.Part{{Kind: chat.TextPart, Text: *r.Content}}
	}
	for _, c := range meta.ToolCalls {
		t.Message.ToolCalls = append(t.Message.ToolCalls, chat.ToolCall{ID: string(c.ID), Custom: c.Custom, Name: string(c.Name), Arguments: string(c.Arguments)})
	}
	return t, nil
}
