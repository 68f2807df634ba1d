package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// organisation is one as callers see it.
type organisation struct {
	ID       string         `json:"id"`
	Object   string         `json:"object"`
	Name     string         `json:"name"`
	Issuer   string         `json:"issuer"`
	External string         `json:"external_id"`
	Status   tenancy.Status `json:"status"`
	Version  int            `json:"version"`
	Created  time.Time      `json:"created_at"`
	Updated  time.Time      `json:"updated_at"`
}

func orgOf(o *tenancy.Org) organisation {
	return organisation{
		ID: o.ID.String(), Object: "organization", Name: o.Title, Issuer: o.Issuer, External: o.Name, Status: o.Status, Version: o.Version,
		Created: o.Created.UTC(), Updated: o.Updated.UTC(),
	}
}

// Orgs answers GET /api/v1/platform/orgs; status and q (how the name begins, or the
// whole external id) choose.
func (h *Handler) Orgs(c *fiber.Ctx) error {
	var f tenancy.OrgFilter
	return filtered(h, c, words{"status": status(&f.Status, true), "q": search(&f.Text)}, func(ctx context.Context, q page.Query) (page.Of[*tenancy.Org], error) {
		return h.Admin.Orgs(ctx, caller(c), f, q)
	},
		func(o *tenancy.Org) (string, any) { return o.ID.String(), orgOf(o) })
}

// CreateOrg answers POST /api/v1/platform/orgs.
func (h *Handler) CreateOrg(c *fiber.Ctx) error {
	var issuer, external, title string
	err := rest.Body(c, rest.Members{
		"issuer": rest.Text("issuer", &issuer), "external_id": rest.Text("external_id", &external), "name": rest.Text("name", &title),
	})
	if err != nil {
		return err
	}
	once, err := onceOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	o, err := h.Admin.CreateOrg(ctx, caller(c), issuer, external, title, once)
	if err != nil {
		return err
	}
	c.Set("Location", "/api/v1/orgs/"+o.ID.String())
	c.Status(http.StatusCreated)
	return rest.SendVersion(c, o.Version, orgOf(o))
}

// Org answers GET /api/v1/orgs/{org}.
func (h *Handler) Org(c *fiber.Ctx) error {
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
	return rest.SendVersion(c, o.Version, orgOf(o))
}

// EditOrg answers PATCH /api/v1/orgs/{org}, with a merge patch. The status is the
// platform's to change.
func (h *Handler) EditOrg(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	var e tenancy.Edit
	if err := rest.Patch(c, rest.Members{"name": rest.Optional("name", &e.Title), "status": rest.Optional("status", &e.Status)}); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	o, err := h.Admin.EditOrg(ctx, caller(c), id, rest.Versions(c, "If-Match", false), e)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, o.Version, orgOf(o))
}
