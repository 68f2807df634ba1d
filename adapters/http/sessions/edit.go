package sessions

import (
	"net/http"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/adapters/http/rest"
	"agentapi/application/conversations"
)

// Create answers POST /api/v1/sessions. The body may be left out.
func (h *Handler) Create(c *fiber.Ctx) error {
	var w wish
	if err := rest.Body(c, w.takes("title", "key", "metadata")); err != nil {
		return err
	}
	once, body, err := rest.Once(c, "POST /api/v1/sessions")
	if err != nil {
		return err
	}
	o := conversations.Opening{Key: w.key, Edit: w.edit, Once: once, Body: body}
	ctx, cancel := h.context(c)
	defer cancel()
	s, replayed, err := h.Conversations.Open(ctx, request.Of(c).Caller, o)
	if err != nil {
		return err
	}
	if replayed {
		c.Set("Idempotent-Replayed", "true")
	}
	c.Set("Location", "/api/v1/sessions/"+s.ID.String())
	c.Status(http.StatusCreated)
	return rest.SendVersion(c, s.Version, objectOf(s))
}

// Patch answers PATCH /api/v1/sessions/{id}, with a merge patch (RFC 7396).
func (h *Handler) Patch(c *fiber.Ctx) error {
	id, err := named(c)
	if err != nil {
		return err
	}
	var w wish
	if err := rest.Patch(c, w.takes("title", "archived", "metadata")); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	s, err := h.Conversations.Edit(ctx, request.Of(c).Caller, id, rest.Versions(c, "If-Match", false), w.edit)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, s.Version, objectOf(s))
}
