package admin

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
	"agentapi/domain/tenancy"
)

// allowed is which models an organisation may ask for, as callers see it; null: all.
type allowed struct {
	Object  string    `json:"object"`
	Org     string    `json:"org_id"`
	Models  []string  `json:"models"`
	Version int       `json:"version"` // the organisation's
	Updated time.Time `json:"updated_at"`
}

func sendAllowed(c *fiber.Ctx, o *tenancy.Org) error {
	return rest.SendVersion(c, o.Version, allowed{"organization.allowed_models", o.ID.String(), o.Models.Names(), o.Version, o.Updated.UTC()})
}

// AllowedModels answers GET /api/v1/orgs/{org}/allowed-models.
func (h *Handler) AllowedModels(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	o, err := h.Admin.Org(ctx, caller(c), id)
	if err != nil {
		return err
	}
	return sendAllowed(c, o)
}

// AllowModels answers PATCH /api/v1/orgs/{org}/allowed-models, with a merge patch.
func (h *Handler) AllowModels(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	var names *[]string
	err = rest.Patch(c, rest.Members{"models": func(r *jsontext.Reader) error {
		all := r.Kind() == 'n'
		names = new([]string)
		if err := models(names)(r); err != nil {
			return err
		}
		if !all && len(*names) == 0 {
			return fault.Invalidf("models", "invalid_value", "models must have at least one entry; null allows all.").
				WithHint("To shut an organisation out, suspend it.")
		}
		return nil
	}})
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	o, err := h.Admin.AllowModels(ctx, caller(c), id, rest.Versions(c, "If-Match", false), names)
	if err != nil {
		return err
	}
	return sendAllowed(c, o)
}
