package organization

import (
	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// project is an organisation as its one project.
type project struct {
	Object   string `json:"object"`
	ID       string `json:"id"`
	Name     string `json:"name"`
	Created  int64  `json:"created_at"`
	Archived *int64 `json:"archived_at"`
	Status   string `json:"status"`
}

func projectOf(o *tenancy.Org) project {
	p := project{Object: "organization.project", ID: tenancy.ProjectOf(o.ID).String(), Name: o.Title, Created: o.Created.Unix(), Status: string(o.Status)}
	if o.Status == tenancy.Closed {
		p.Status, p.Archived = "archived", seconds(o.Updated)
	}
	return p
}

// Projects answers GET /v1/organization/projects: with one, or none where it is closed
// and include_archived is not true.
func (h *Handler) Projects(c *fiber.Ctx) error {
	archived := false
	q, err := rest.Query(c, "include_archived", func(name, value string) (bool, error) {
		if archived = value == "true"; name == "include_archived" && !archived && value != "false" {
			return true, fault.Invalidf(name, "invalid_type", "include_archived must be true or false.")
		}
		return name == "include_archived", nil
	})
	if err == nil {
		q, err = q.Normal()
	}
	if err != nil {
		return err
	}
	return h.in(c, func(r call) error {
		o, err := h.Admin.Org(r, r.who, r.org)
		if err != nil {
			return err
		}
		var found page.Of[*tenancy.Org]
		if q.After == "" && q.Before == "" && (archived || o.Status != tenancy.Closed) {
			found.Items = append(found.Items, o)
		}
		return sendList(r, found, func(o *tenancy.Org) (string, any) { return tenancy.ProjectOf(o.ID).String(), projectOf(o) })
	})
}

// Project answers GET /v1/organization/projects/{project}.
func (h *Handler) Project(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		o, err := h.Admin.Org(r, r.who, r.org)
		if err != nil {
			return err
		}
		return rest.Send(c, projectOf(o))
	})
}

// OneProject answers the requests that would make, change or archive a project.
func (h *Handler) OneProject(c *fiber.Ctx) error {
	return h.in(c, func(call) error {
		return fault.New(fault.Unsupported, "An organisation has exactly one project here, which is the organisation itself.").WithCode("one_project").
			WithHint("PATCH /api/v1/orgs/{org} renames it; whoever runs this server makes organisations with POST /api/v1/platform/orgs.")
	})
}
