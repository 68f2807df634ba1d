package organization

import (
	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// user is a member who is no service account, of the organisation or of its project.
type user struct {
	Object string  `json:"object"`
	ID     string  `json:"id"`
	Name   *string `json:"name"`
	Email  *string `json:"email"`
	Role   string  `json:"role"`
	Added  int64   `json:"added_at"`
}

func userOf(m *tenancy.Member) user {
	return user{"organization.user", m.User.String(), text(m.Name), text(m.Email), roleOf(m.Role), m.Created.Unix()}
}

// Users answers GET /v1/organization/users; emails choose.
func (h *Handler) Users(c *fiber.Ctx) error {
	f := tenancy.MemberFilter{Roles: people()}
	q, err := rest.Query(c, "emails[]", func(name, value string) (bool, error) {
		f.Emails = append(f.Emails, value)
		return name == "emails[]" || name == "emails", nil
	})
	if err != nil {
		return err
	}
	return h.in(c, func(r call) error {
		found, err := h.Admin.Members(r, r.who, r.org, f, q)
		if err != nil {
			return err
		}
		return sendList(r, found, func(m *tenancy.Member) (string, any) { return m.User.String(), userOf(m) })
	})
}

// person is a member who is no service account; those are found as what they are.
func (h *Handler) person(r call) (*tenancy.Member, error) {
	id, err := r.user("user")
	if err != nil {
		return nil, err
	}
	m, err := h.Admin.Member(r, r.who, r.org, id)
	if err == nil && m.Role == tenancy.Service {
		return nil, tenancy.NoMember()
	}
	return m, err
}

// User answers GET /v1/organization/users/{user}.
func (h *Handler) User(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		m, err := h.person(r)
		if err != nil {
			return err
		}
		return rest.Send(c, userOf(m))
	})
}

// EditUser answers POST /v1/organization/users/{user}, which gives a role.
func (h *Handler) EditUser(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		var word string
		if err := r.body(rest.Members{"role": rest.Text("role", &word)}, "role"); err != nil {
			return err
		}
		role, err := ours(word)
		if err != nil {
			return err
		}
		m, err := h.person(r)
		if err != nil {
			return err
		}
		if roleOf(m.Role) != word {
			m, err = h.Admin.EditMember(r, r.who, r.org, m.User, []int{m.Version}, tenancy.Edit{Role: &role})
		}
		if err != nil {
			return err
		}
		return rest.Send(c, userOf(m))
	})
}

// RemoveUser answers DELETE /v1/organization/users/{user}.
func (h *Handler) RemoveUser(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		m, err := h.person(r)
		if err == nil {
			err = h.Admin.RemoveMember(r, r.who, r.org, m.User, nil)
		}
		if err != nil {
			return err
		}
		return rest.Send(c, deleted{"organization.user.deleted", m.User.String(), true})
	})
}

// ProjectUsers answers GET /v1/organization/projects/{project}/users.
func (h *Handler) ProjectUsers(c *fiber.Ctx) error {
	q, err := rest.Query(c, "", nil)
	if err != nil {
		return err
	}
	return h.in(c, func(r call) error {
		var found page.Of[*tenancy.Member]
		if found, err = h.Admin.Members(r, r.who, r.org, tenancy.MemberFilter{Roles: people()}, q); err != nil {
			return err
		}
		return sendList(r, found, func(m *tenancy.Member) (string, any) {
			return m.User.String(), user{"organization.project.user", m.User.String(), text(m.Name), text(m.Email), inProject(m.Role), m.Created.Unix()}
		})
	})
}
