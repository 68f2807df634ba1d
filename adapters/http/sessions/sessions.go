// Package sessions lets callers open, see, change, export and delete their stored
// conversations.
package sessions

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/adapters/http/rest"
	"agentapi/application/conversations"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// Conversations are the stored sessions.
type Conversations interface {
	Open(ctx context.Context, who tenancy.Principal, o conversations.Opening) (s *session.Session, replayed bool, err error)
	Get(ctx context.Context, who tenancy.Principal, id session.ID) (*session.Session, error)
	List(ctx context.Context, who tenancy.Principal, f session.Filter, q page.Query) (page.Of[*session.Session], error)
	Turns(ctx context.Context, who tenancy.Principal, id session.ID, q page.Query) (page.Of[session.Turn], error)
	Edit(ctx context.Context, who tenancy.Principal, id session.ID, versions []int, e session.Edit) (*session.Session, error)
	Delete(ctx context.Context, who tenancy.Principal, id session.ID, versions []int) error
}

// Handler serves /api/v1/sessions.
type Handler struct {
	Conversations Conversations
	Base          context.Context
	Limit         time.Duration // for one request to the storage
	Stall         time.Duration // how long a client may take nothing of an export
}

// object is a session as callers see it.
type object struct {
	ID       string    `json:"id"`
	Object   string    `json:"object"`
	Title    string    `json:"title"`
	Key      *string   `json:"key"`
	Source   *string   `json:"key_source"`
	Agent    string    `json:"agent"`
	Model    string    `json:"model"`
	Messages int       `json:"message_count"`
	Archived bool      `json:"archived"`
	Metadata pairs     `json:"metadata"`
	Version  int       `json:"version"`
	Created  time.Time `json:"created_at"`
	Updated  time.Time `json:"updated_at"`
}

// pairs are always an object, if an empty one.
type pairs map[string]string

func objectOf(s *session.Session) object {
	o := object{
		ID: s.ID.String(), Object: "session", Title: s.Title, Agent: string(s.Agent), Model: s.Model,
		Messages: s.Turns, Archived: s.Archived, Metadata: s.Metadata, Version: s.Version, Created: s.Created, Updated: s.Updated,
	}
	if o.Metadata == nil {
		o.Metadata = pairs{}
	}
	if !s.Key.IsZero() {
		o.Key, o.Source = &s.Key.Value, &s.Key.Source
	}
	return o
}

// message is a stored turn as callers see it: a chat message and its circumstances.
type message struct {
	ID         string            `json:"id"`
	Object     string            `json:"object"`
	Sequence   int               `json:"sequence"`
	Role       string            `json:"role"`
	Content    any               `json:"content"`
	Name       string            `json:"name,omitempty"`
	Refusal    string            `json:"refusal,omitempty"`
	ToolCalls  []json.RawMessage `json:"tool_calls,omitempty"`
	ToolCallID string            `json:"tool_call_id,omitempty"`
	Agent      string            `json:"agent,omitempty"`
	Model      string            `json:"model,omitempty"`
	Finish     string            `json:"finish_reason,omitempty"`
	TokensIn   int               `json:"tokens_in,omitempty"`
	TokensOut  int               `json:"tokens_out,omitempty"`
	Request    string            `json:"request_id"`
	Created    time.Time         `json:"created_at"`
}

func messageOf(t session.Turn) (message, error) {
	m := &t.Message
	out := message{
		ID: t.ID.String(), Object: "session.message", Sequence: t.Seq, Role: string(m.Role), Name: m.Name, Refusal: m.Refusal,
		ToolCallID: m.ToolCallID, Agent: string(t.Agent), Model: t.Model, Finish: string(t.Finish),
		TokensIn: t.TokensIn, TokensOut: t.TokensOut, Request: t.Request, Created: t.Created,
	}
	switch {
	case m.Parts == nil:
	case m.HasMedia():
		parts := make([]any, len(m.Parts))
		for i, p := range m.Parts {
			if p.JSON != nil {
				parts[i] = json.RawMessage(p.JSON)
			} else {
				parts[i] = map[string]string{"type": string(p.Kind), string(p.Kind): p.Text}
			}
		}
		out.Content = parts
	default:
		out.Content = m.Text()
	}
	for _, c := range m.ToolCalls {
		kind, input := "function", "arguments"
		if c.Custom {
			kind, input = "custom", "input"
		}
		raw, err := json.Marshal(map[string]any{"id": c.ID, "type": kind, kind: map[string]string{"name": c.Name, input: c.Arguments}})
		if err != nil {
			return out, fault.Internalf("encoding a tool call: %w", err)
		}
		out.ToolCalls = append(out.ToolCalls, raw)
	}
	return out, nil
}

func (h *Handler) context(c *fiber.Ctx) (context.Context, context.CancelFunc) {
	return context.WithTimeout(request.Of(c).Within(h.Base), h.Limit)
}

// query reads the parameters of a list, and those that choose what it holds where
// there is a filter.
func query(c *fiber.Ctx, f *session.Filter) (page.Query, error) {
	if f == nil {
		return rest.Query(c, "", nil)
	}
	return rest.Query(c, "status, agent, model, since, until and q", func(name, value string) (known bool, err error) {
		switch name {
		case "status":
			if f.Status = session.Status(value); value == "" {
				f.Status = "?" // said, and none of them
			}
		case "agent":
			f.Agent = agent.Name(value)
		case "model":
			f.Model = value
		case "q":
			f.Title = value
		case "since":
			f.Since, err = rest.Moment(name, value)
		case "until":
			f.Until, err = rest.Moment(name, value)
		default:
			return false, nil
		}
		return true, err
	})
}

// named reads the session's id of the path. What is no id names no session.
func named(c *fiber.Ctx) (session.ID, error) {
	id, err := session.ParseID(c.Params("id"))
	if err != nil {
		return id, fault.NotFoundf("session_not_found", "There is no such session.")
	}
	return id, nil
}

// List answers GET /api/v1/sessions: those that are open, the newest first, unless
// told otherwise.
func (h *Handler) List(c *fiber.Ctx) error {
	f := session.Filter{Status: session.Open}
	q, err := query(c, &f)
	if err != nil {
		return err
	}
	if c.Query("order") == "" {
		q.Desc = true
	}
	ctx, cancel := h.context(c)
	defer cancel()
	found, err := h.Conversations.List(ctx, request.Of(c).Caller, f, q)
	if err != nil {
		return err
	}
	var (
		data []any
		ids  []string
	)
	for _, s := range found.Items {
		data, ids = append(data, objectOf(s)), append(ids, s.ID.String())
	}
	return rest.SendList(c, data, ids, found.More)
}

// Get answers GET /api/v1/sessions/{id}.
func (h *Handler) Get(c *fiber.Ctx) error {
	id, err := named(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	s, err := h.Conversations.Get(ctx, request.Of(c).Caller, id)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, s.Version, objectOf(s))
}

// Messages answers GET /api/v1/sessions/{id}/messages, in order of time.
func (h *Handler) Messages(c *fiber.Ctx) error {
	id, err := named(c)
	if err != nil {
		return err
	}
	q, err := query(c, nil)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	found, err := h.Conversations.Turns(ctx, request.Of(c).Caller, id, q)
	if err != nil {
		return err
	}
	var (
		data []any
		ids  []string
	)
	for _, t := range found.Items {
		m, err := messageOf(t)
		if err != nil {
			return err
		}
		data, ids = append(data, m), append(ids, m.ID)
	}
	return rest.SendList(c, data, ids, found.More)
}

// Delete answers DELETE /api/v1/sessions/{id}.
func (h *Handler) Delete(c *fiber.Ctx) error {
	id, err := named(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	if err := h.Conversations.Delete(ctx, request.Of(c).Caller, id, rest.Versions(c, "If-Match", false)); err != nil {
		return err
	}
	c.Status(http.StatusOK)
	return rest.Send(c, struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Deleted bool   `json:"deleted"`
	}{id.String(), "session.deleted", true})
}
