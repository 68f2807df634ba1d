package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// member is one who belongs to an organisation.
type member struct {
	ID      string         `json:"id"`
	Object  string         `json:"object"`
	Org     string         `json:"org_id"`
	Name    string         `json:"name"`
	Email   string         `json:"email"`
	Role    tenancy.Role   `json:"role"`
	Given   bool           `json:"role_assigned"` // here, and not by the tokens
	Status  tenancy.Status `json:"status"`
	Version int            `json:"version"`
	Created time.Time      `json:"created_at"`
	Updated time.Time      `json:"updated_at"`
}

func memberOf(m *tenancy.Member) member {
	return member{
		ID: m.User.String(), Object: "member", Org: m.Org.String(), Name: m.Name, Email: m.Email, Role: m.Role, Given: m.Given, Status: m.Status,
		Version: m.Version, Created: m.Created.UTC(), Updated: m.Updated.UTC(),
	}
}

// Members answers GET /api/v1/orgs/{org}/members; role, status and q (a part of the
// name or the address) choose.
func (h *Handler) Members(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	var f tenancy.MemberFilter
	return filtered(h, c, words{
		"role": func(value string) error {
			role, err := tenancy.ParseRole(value)
			f.Roles = []tenancy.Role{role}
			return err
		},
		"status": status(&f.Status, false), "q": search(&f.Text),
	}, func(ctx context.Context, q page.Query) (page.Of[*tenancy.Member], error) {
		return h.Admin.Members(ctx, caller(c), id, f, q)
	}, func(m *tenancy.Member) (string, any) { return m.User.String(), memberOf(m) })
}

// AddMember answers POST /api/v1/orgs/{org}/members.
func (h *Handler) AddMember(c *fiber.Ctx) error {
	in, err := org(c)
	if err != nil {
		return err
	}
	var n admin.NewMember
	err = rest.Body(c, rest.Members{
		"issuer": rest.Text("issuer", &n.Issuer), "subject": rest.Text("subject", &n.Subject),
		"name": rest.Text("name", &n.Name), "email": rest.Text("email", &n.Email), "role": rest.Text("role", &n.Role),
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
	m, err := h.Admin.AddMember(ctx, caller(c), in, n, once)
	if err != nil {
		return err
	}
	c.Set("Location", "/api/v1/orgs/"+m.Org.String()+"/members/"+m.User.String())
	c.Status(http.StatusCreated)
	return rest.SendVersion(c, m.Version, memberOf(m))
}

// whom reads the organisation and the member of the path.
func whom(c *fiber.Ctx) (in tenancy.OrgID, id tenancy.UserID, err error) {
	if in, err = org(c); err == nil {
		id, err = user(c, tenancy.NoMember())
	}
	return in, id, err
}

// Member answers GET /api/v1/orgs/{org}/members/{user}.
func (h *Handler) Member(c *fiber.Ctx) error {
	in, id, err := whom(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	m, err := h.Admin.Member(ctx, caller(c), in, id)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, m.Version, memberOf(m))
}

// EditMember answers PATCH /api/v1/orgs/{org}/members/{user}, with a merge patch; a
// role of null leaves it to the tokens again.
func (h *Handler) EditMember(c *fiber.Ctx) error {
	in, id, err := whom(c)
	if err != nil {
		return err
	}
	var e tenancy.Edit
	if err := rest.Patch(c, rest.Members{"role": rest.Optional("role", &e.Role), "status": rest.Optional("status", &e.Status)}); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	m, err := h.Admin.EditMember(ctx, caller(c), in, id, rest.Versions(c, "If-Match", false), e)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, m.Version, memberOf(m))
}

// RemoveMember answers DELETE /api/v1/orgs/{org}/members/{user}.
func (h *Handler) RemoveMember(c *fiber.Ctx) error {
	in, id, err := whom(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	if err := h.Admin.RemoveMember(ctx, caller(c), in, id, rest.Versions(c, "If-Match", false)); err != nil {
		return err
	}
	return rest.Send(c, deleted{id.String(), "member.deleted", true})
}
