package openai

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/application/catalog"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// Catalog lists models.
type Catalog interface {
	Models(ctx context.Context, who tenancy.Principal) ([]catalog.Listed, error)
	Model(ctx context.Context, who tenancy.Principal, name string) (catalog.Listed, error)
}

// Models serves GET /v1/models and GET /v1/models/{id}.
type Models struct {
	Catalog Catalog
	Base    context.Context
}

// model is OpenAI's model object, with what we add to it.
type model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
	Context int    `json:"context_window,omitempty"`
}

func modelOf(l catalog.Listed) model {
	return model{ID: l.ID, Object: "model", Created: l.Created.Unix(), OwnedBy: l.OwnedBy, Context: l.Context}
}

// List answers with all models that the caller may ask for.
func (h *Models) List(c *fiber.Ctx) error {
	all, err := h.Catalog.Models(request.Of(c).Within(h.Base), request.Of(c).Caller)
	if err != nil {
		return err
	}
	data := make([]model, len(all))
	for i, l := range all {
		data[i] = modelOf(l)
	}
	return sendJSON(c, struct {
		Object string  `json:"object"`
		Data   []model `json:"data"`
	}{"list", data})
}

// Get answers with one model. Its id may hold slashes, raw or escaped.
func (h *Models) Get(c *fiber.Ctx) error {
	id, err := url.PathUnescape(c.Params("*"))
	if err != nil {
		return fault.NotFoundf("model_not_found", "The model does not exist or you do not have access to it.").WithParam("model")
	}
	l, err := h.Catalog.Model(request.Of(c).Within(h.Base), request.Of(c).Caller, id)
	if err != nil {
		return err
	}
	return sendJSON(c, modelOf(l))
}

func sendJSON(c *fiber.Ctx, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fault.Internalf("encoding an answer: %w", err)
	}
	c.Response().Header.SetContentType("application/json")
	c.Response().SetBodyRaw(text)
	return nil
}
