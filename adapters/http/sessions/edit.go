package sessions

import (
	"bytes"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/application/conversations"
	"agentapi/domain/idempotency"
)

// Create answers POST /api/v1/sessions. The body may be left out.
func (h *Handler) Create(c *fiber.Ctx) error {
	if !request.IsJSON(c) {
		return fiber.NewError(http.StatusUnsupportedMediaType)
	}
	body := c.Request().Body()
	text := body
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("{}")
	}
	w, err := wishOf(text, "title", "key", "metadata")
	if err != nil {
		return err
	}
	o := conversations.Opening{Key: w.key, Edit: w.edit, Body: idempotency.Fingerprint(body)}
	key, err := request.IdempotencyKey(c)
	if err != nil {
		return err
	}
	if key != "" {
		o.Once = idempotency.NewKey("POST /api/v1/sessions", key)
	}
	ctx, cancel := h.context()
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
	return sendSession(c, s)
}

// Patch answers PATCH /api/v1/sessions/{id}, with a merge patch (RFC 7396).
func (h *Handler) Patch(c *fiber.Ctx) error {
	if !request.IsJSON(c, "application/merge-patch+json") {
		return fiber.NewError(http.StatusUnsupportedMediaType)
	}
	id, err := named(c)
	if err != nil {
		return err
	}
	w, err := wishOf(c.Request().Body(), "title", "archived", "metadata")
	if err != nil {
		return err
	}
	ctx, cancel := h.context()
	defer cancel()
	s, err := h.Conversations.Edit(ctx, request.Of(c).Caller, id, versions(c, "If-Match", false), w.edit)
	if err != nil {
		return err
	}
	return sendSession(c, s)
}
