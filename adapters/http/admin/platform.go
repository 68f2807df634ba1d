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

// account is a user of the platform.
type account struct {
	ID      string         `json:"id"`
	Object  string         `json:"object"`
	Issuer  string         `json:"issuer"`
	Subject string         `json:"subject"`
	Role    *tenancy.Role  `json:"platform_role"`
	Status  tenancy.Status `json:"status"`
	Version int            `json:"version"`
	Created time.Time      `json:"created_at"`
	Updated time.Time      `json:"updated_at"`
}

func accountOf(u *tenancy.User) account {
	out := account{
		ID: u.ID.String(), Object: "user", Issuer: u.Issuer, Subject: u.Subject, Status: u.Status, Version: u.Version, Created: u.Created.UTC(), Updated: u.Updated.UTC(),
	}
	if u.Platform != "" {
		out.Role = &u.Platform
	}
	return out
}

func listedAccount(u *tenancy.User) (string, any) { return u.ID.String(), accountOf(u) }

// Admins answers GET /api/v1/platform/admins.
func (h *Handler) Admins(c *fiber.Ctx) error {
	return listed(h, c, func(ctx context.Context, q page.Query) (page.Of[*tenancy.User], error) {
		return h.Admin.Admins(ctx, caller(c), q)
	}, listedAccount)
}

// Users answers GET /api/v1/platform/users; status and q (how the subject begins)
// choose.
func (h *Handler) Users(c *fiber.Ctx) error {
	var f tenancy.UserFilter
	return filtered(h, c, words{"status": status(&f.Status, false), "q": search(&f.Text)}, func(ctx context.Context, q page.Query) (page.Of[*tenancy.User], error) {
		return h.Admin.Users(ctx, caller(c), f, q)
	}, listedAccount)
}

// Appoint answers POST /api/v1/platform/admins. Doing so again changes nothing.
func (h *Handler) Appoint(c *fiber.Ctx) error {
	var issuer, subject string
	role := tenancy.PlatformAdmin
	err := rest.Body(c, rest.Members{"issuer": rest.Text("issuer", &issuer), "subject": rest.Text("subject", &subject), "role": rest.Text("role", &role)})
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	u, err := h.Admin.Appoint(ctx, caller(c), issuer, subject, role)
	if err != nil {
		return err
	}
	c.Set("Location", "/api/v1/platform/admins/"+u.ID.String())
	c.Status(http.StatusCreated)
	return rest.SendVersion(c, u.Version, accountOf(u))
}

// Dismiss answers DELETE /api/v1/platform/admins/{user}.
func (h *Handler) Dismiss(c *fiber.Ctx) error {
	id, err := user(c, tenancy.NoUser())
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	if err := h.Admin.Dismiss(ctx, caller(c), id, rest.Versions(c, "If-Match", false)); err != nil {
		return err
	}
	return rest.Send(c, deleted{id.String(), "admin.deleted", true})
}

// EditUser answers PATCH /api/v1/platform/users/{user}, with a merge patch.
func (h *Handler) EditUser(c *fiber.Ctx) error {
	id, err := user(c, tenancy.NoUser())
	if err != nil {
		return err
	}
	var status tenancy.Status
	if err := rest.Patch(c, rest.Members{"status": rest.Text("status", &status)}); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	u, err := h.Admin.EditUser(ctx, caller(c), id, rest.Versions(c, "If-Match", false), status)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, u.Version, accountOf(u))
}

// role is what a role may do.
type role struct {
	ID          tenancy.Role         `json:"id"`
	Object      string               `json:"object"`
	Permissions []tenancy.Permission `json:"permissions"`
}

// Roles answers GET /api/v1/platform/roles.
func (h *Handler) Roles(c *fiber.Ctx) error {
	var (
		data []any
		ids  []string
	)
	for _, r := range tenancy.Roles() {
		data, ids = append(data, role{r, "role", r.Permissions()}), append(ids, string(r))
	}
	return rest.SendList(c, data, ids, false)
}
