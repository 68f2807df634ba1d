// Package sessions lets callers open, see, change, export and delete their stored
// conversations.
package sessions

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
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

// list is the envelope of all lists.
type list struct {
	Object   string   `json:"object"`
	Data     []any    `json:"data"`
	FirstID  *string  `json:"first_id"`
	LastID   *string  `json:"last_id"`
	HasMore  bool     `json:"has_more"`
	Metadata metadata `json:"list_metadata"`
}

type metadata struct {
	Before *string `json:"before"`
	After  *string `json:"after"`
}

// sendList answers with a page whose elements have these ids.
func sendList(c *fiber.Ctx, data []any, ids []string, more bool) error {
	l := list{Object: "list", Data: data, HasMore: more}
	if l.Data == nil {
		l.Data = []any{}
	}
	if n := len(ids); n > 0 {
		l.FirstID, l.LastID = &ids[0], &ids[n-1]
		if more {
			l.Metadata.After = l.LastID
			next := url.Values{}
			for k, v := range c.Queries() {
				if k != "before" && k != "after" {
					next.Set(k, v)
				}
			}
			next.Set("after", ids[n-1])
			c.Set("Link", fmt.Sprintf("<%s?%s>; rel=\"next\"", c.Path(), next.Encode()))
		}
	}
	return send(c, l)
}

func send(c *fiber.Ctx, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fault.Internalf("encoding an answer: %w", err)
	}
	c.Response().Header.SetContentType("application/json")
	c.Response().SetBodyRaw(text)
	return nil
}

func (h *Handler) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(h.Base, h.Limit)
}

// query reads the parameters of a list, and those that choose what it holds where
// there is a filter. Unknown ones and those that come twice
// are refused: they were meant to do something.
func query(c *fiber.Ctx, f *session.Filter) (q page.Query, err error) {
	seen := map[string]bool{}
	for k, v := range c.Context().QueryArgs().All() {
		name, value := string(k), string(v)
		if seen[name] {
			return q, fault.Invalidf(name, "invalid_value", "The query parameter %s is given twice.", name)
		}
		seen[name] = true
		switch name {
		case "limit":
			if q.Limit, err = strconv.Atoi(value); err != nil {
				return q, fault.Invalidf("limit", "invalid_type", "limit must be an integer.")
			}
			if q.Limit == 0 {
				q.Limit = -1 // said, and out of range
			}
		case "after":
			q.After = value
		case "before":
			q.Before = value
		case "order":
			if value != "asc" && value != "desc" {
				return q, fault.Invalidf("order", "invalid_value", "order must be asc or desc.")
			}
			q.Desc = value == "desc"
		default:
			if err := filter(f, name, value); err != nil {
				return q, err
			}
		}
	}
	return q, nil
}

// filter reads a parameter that chooses what a list holds.
func filter(f *session.Filter, name, value string) (err error) {
	hint := "This list takes limit, after, before and order."
	if f != nil {
		hint = "This list takes limit, after, before and order, and status, agent, model, since, until and q."
		switch name {
		case "status":
			if f.Status = session.Status(value); value == "" {
				f.Status = "?" // said, and none of them
			}
			return nil
		case "agent":
			f.Agent = agent.Name(value)
			return nil
		case "model":
			f.Model = value
			return nil
		case "q":
			f.Title = value
			return nil
		case "since":
			f.Since, err = moment(name, value)
			return err
		case "until":
			f.Until, err = moment(name, value)
			return err
		}
	}
	return fault.New(fault.Invalid, "Unknown query parameter.").WithCode("unknown_parameter").WithHint(hint)
}

// moment reads a time.
func moment(name, value string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, value)
	if err != nil || at.IsZero() {
		return at, fault.Invalidf(name, "invalid_type", "%s must be a time such as 2026-01-31T12:00:00Z (RFC 3339).", name).
			WithHint("In a URL a plus sign is written %2B.")
	}
	return at, nil
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
	ctx, cancel := h.context()
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
	return sendList(c, data, ids, found.More)
}

// Get answers GET /api/v1/sessions/{id}.
func (h *Handler) Get(c *fiber.Ctx) error {
	id, err := named(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context()
	defer cancel()
	s, err := h.Conversations.Get(ctx, request.Of(c).Caller, id)
	if err != nil {
		return err
	}
	if known(c, s) {
		c.Set("ETag", etag(s.Version))
		c.Status(http.StatusNotModified)
		return nil
	}
	return sendSession(c, s)
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
	ctx, cancel := h.context()
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
	return sendList(c, data, ids, found.More)
}

// Delete answers DELETE /api/v1/sessions/{id}.
func (h *Handler) Delete(c *fiber.Ctx) error {
	id, err := named(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context()
	defer cancel()
	if err := h.Conversations.Delete(ctx, request.Of(c).Caller, id, versions(c, "If-Match", false)); err != nil {
		return err
	}
	c.Status(http.StatusOK)
	return send(c, struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Deleted bool   `json:"deleted"`
	}{id.String(), "session.deleted", true})
}
