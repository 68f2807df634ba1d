package admin

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/completion"
	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

// orgSession is somebody's session as administrators see it: nothing that was said,
// and so no title, which is made of it, and nothing that its owner has attached.
type orgSession struct {
	ID       string    `json:"id"`
	Object   string    `json:"object"`
	User     string    `json:"user_id"`
	Agent    string    `json:"agent"`
	Model    string    `json:"model"`
	Messages int       `json:"message_count"`
	Archived bool      `json:"archived"`
	Version  int       `json:"version"`
	Created  time.Time `json:"created_at"`
	Updated  time.Time `json:"updated_at"`
}

func orgSessionOf(s *session.Session) orgSession {
	return orgSession{s.ID.String(), "session", s.User.String(), string(s.Agent), s.Model, s.Turns, s.Archived, s.Version, s.Created, s.Updated}
}

// OrgSessions answers GET /api/v1/orgs/{org}/sessions, the newest first unless told
// otherwise.
func (h *Handler) OrgSessions(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	var f session.Filter
	q, err := rest.Query(c, "user, status, agent, model, since and until", func(name, value string) (known bool, err error) {
		switch name {
		case "user":
			if f.User, err = tenancy.ParseUserID(value); err != nil {
				err = fault.Invalidf("user", "invalid_id", "user must be the id of a user.")
			}
		case "status":
			if f.Status = session.Status(value); value == "" {
				f.Status = "?" // said, and none of them
			}
		case "agent":
			f.Agent = agent.Name(value)
		case "model":
			f.Model = value
		case "since":
			f.Since, err = rest.Moment(name, value)
		case "until":
			f.Until, err = rest.Moment(name, value)
		default:
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return err
	}
	if c.Query("order") == "" {
		q.Desc = true
	}
	ctx, cancel := h.context(c)
	defer cancel()
	found, err := h.Operations.Sessions(ctx, caller(c), id, f, q)
	if err != nil {
		return err
	}
	return sendList(c, found, func(s *session.Session) (string, any) { return s.ID.String(), orgSessionOf(s) })
}

// conversation reads the session's id of the path. What is no id names no session.
func conversation(c *fiber.Ctx) (session.ID, error) {
	id, err := session.ParseID(c.Params("id"))
	if err != nil {
		return id, fault.NotFoundf("session_not_found", "There is no such session.")
	}
	return id, nil
}

// OrgSession answers GET /api/v1/orgs/{org}/sessions/{id}.
func (h *Handler) OrgSession(c *fiber.Ctx) error {
	in, err := org(c)
	if err != nil {
		return err
	}
	id, err := conversation(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	s, err := h.Operations.Session(ctx, caller(c), in, id)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, s.Version, orgSessionOf(s))
}

// RemoveSession answers DELETE /api/v1/orgs/{org}/sessions/{id}.
func (h *Handler) RemoveSession(c *fiber.Ctx) error {
	in, err := org(c)
	if err != nil {
		return err
	}
	id, err := conversation(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.patient(c)
	defer cancel()
	if err := h.Operations.Remove(ctx, caller(c), in, id, rest.Versions(c, "If-Match", false)); err != nil {
		return err
	}
	return rest.Send(c, deleted{id.String(), "session.deleted", true})
}

// running is a request that runs on this instance.
type running struct {
	ID      string           `json:"id"`
	Object  string           `json:"object"`
	Org     string           `json:"org_id"`
	User    string           `json:"user_id"`
	Session *string          `json:"session_id"`
	Model   string           `json:"model"`
	Agent   *string          `json:"agent"`
	Served  *string          `json:"agent_model"`
	Attempt int              `json:"attempt"`
	Stream  bool             `json:"stream"`
	Phase   completion.Phase `json:"phase"`
	Started time.Time        `json:"started_at"`
}

// Running answers GET /api/v1/platform/sessions.
func (h *Handler) Running(c *fiber.Ctx) error {
	q, err := rest.Query(c, "", nil)
	if err != nil {
		return err
	}
	found, err := h.Operations.Running(caller(c), q)
	if err != nil {
		return err
	}
	return sendList(c, found, func(r completion.Running) (string, any) {
		out := running{
			ID: r.Request, Object: "running_request", Org: r.Org.String(), User: r.User.String(), Model: rest.Clip(r.Model),
			Attempt: r.Attempt, Stream: r.Stream, Phase: r.Phase, Started: r.Started.UTC(),
		}
		if !r.Session.IsZero() {
			id := r.Session.String()
			out.Session = &id
		}
		if r.Agent != "" {
			name := string(r.Agent)
			out.Agent, out.Served = &name, &r.Served
		}
		return r.Request, out
	})
}

// EndRequest answers DELETE /api/v1/platform/sessions/{request}.
func (h *Handler) EndRequest(c *fiber.Ctx) error {
	ctx, cancel := h.patient(c)
	defer cancel()
	id := c.Params("request")
	if err := h.Operations.End(ctx, caller(c), id); err != nil {
		return err
	}
	return rest.Send(c, deleted{id, "running_request.deleted", true})
}
