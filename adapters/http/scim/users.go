package scim

import (
	"net/http"

	"github.com/gofiber/fiber/v2"

	"agentapi/domain/roster"
	"agentapi/domain/tenancy"
)

// userID reads the user of the path; what is no id names nobody.
func userID(c *fiber.Ctx) (tenancy.UserID, error) {
	id, err := tenancy.ParseUserID(c.Params("id"))
	if err != nil {
		return id, roster.NoPerson()
	}
	return id, nil
}

// userFilter reads the filter of a list of users. none is true where it can choose
// nobody.
func userFilter(text string) (f roster.Filter, none bool, err error) {
	tests, err := filter(text)
	for _, t := range tests {
		if err != nil {
			break
		}
		var again bool
		switch t.attribute {
		case "username":
			again = f.UserName != nil
			f.UserName, err = t.words()
		case "externalid":
			again = f.External != nil
			f.External, err = t.words()
		case "emails", "emails.value":
			again = f.Email != nil
			f.Email, err = t.words()
		case "active":
			again = f.Active != nil
			f.Active, err = t.truth()
		case "id":
			var words *string
			again = f.User != nil
			if words, err = t.words(); err == nil {
				id, bad := tenancy.ParseUserID(*words)
				f.User, none = &id, none || bad != nil
			}
		default:
			err = badFilter("Users are found by id, userName, externalId, emails.value and active.")
		}
		if again {
			return f, false, badFilter("The filter compares %s twice.", t.attribute)
		}
	}
	return f, none, err
}

// Users answers GET /scim/v2/Users.
func (h *Handler) Users(c *fiber.Ctx) error {
	w, err := windowOf(c)
	if err != nil {
		return err
	}
	f, none, err := userFilter(c.Query("filter"))
	if err != nil {
		return err
	}
	if none {
		return sendList(c, w, 0, nil)
	}
	ctx, cancel := h.context(c)
	defer cancel()
	found, total, err := h.Provision.Users(ctx, caller(c), f, w.start-1, w.count)
	if err != nil {
		return err
	}
	out := make([]any, len(found))
	for i, p := range found {
		out[i] = userOf(p)
	}
	return sendList(c, w, total, out)
}

// User answers GET /scim/v2/Users/{id}.
func (h *Handler) User(c *fiber.Ctx) error {
	id, err := userID(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	p, err := h.Provision.User(ctx, caller(c), id)
	if err != nil {
		return err
	}
	return resource(c, http.StatusOK, p.Tag(), userOf(p))
}

// AddUser answers POST /scim/v2/Users. Whoever is not said to be active or not is.
func (h *Handler) AddUser(c *fiber.Ctx) error {
	o, err := body(c)
	if err != nil {
		return err
	}
	p := roster.Person{Active: true}
	if err := fill(&p, o); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	added, err := h.Provision.AddUser(ctx, caller(c), p)
	if err != nil {
		return err
	}
	c.Set("Location", Base+"/Users/"+added.User.String())
	return resource(c, http.StatusCreated, added.Tag(), userOf(added))
}

// ReplaceUser answers PUT /scim/v2/Users/{id}. Who they are at the issuer and
// whether they are active stays where it is not said.
func (h *Handler) ReplaceUser(c *fiber.Ctx) error {
	o, err := body(c)
	if err != nil {
		return err
	}
	return h.editUser(c, func(p *roster.Person) error {
		p.Given, p.Family, p.Formatted, p.Display, p.Email = "", "", "", "", ""
		return fill(p, o)
	})
}

// PatchUser answers PATCH /scim/v2/Users/{id}.
func (h *Handler) PatchUser(c *fiber.Ctx) error {
	o, err := body(c)
	if err != nil {
		return err
	}
	ops, err := operations(o)
	if err != nil {
		return err
	}
	return h.editUser(c, func(p *roster.Person) error {
		for _, op := range ops {
			if err := alterUser(p, op); err != nil {
				return err
			}
		}
		return nil
	})
}

func (h *Handler) editUser(c *fiber.Ctx, change func(*roster.Person) error) error {
	id, err := userID(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	p, err := h.Provision.EditUser(ctx, caller(c), id, versions(c), change)
	if err != nil {
		return err
	}
	return resource(c, http.StatusOK, p.Tag(), userOf(p))
}

// RemoveUser answers DELETE /scim/v2/Users/{id}.
func (h *Handler) RemoveUser(c *fiber.Ctx) error {
	id, err := userID(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	if err := h.Provision.RemoveUser(ctx, caller(c), id, versions(c)); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
