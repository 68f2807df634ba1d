// Package organization is administration in the shapes and words of OpenAI's SDKs,
// /v1/organization: another face of what /api/v1/orgs does. An organisation has
// exactly one project here, itself.
package organization

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/application/reports"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// Handler serves users, invites, projects, keys, usage and the audit log under
// /v1/organization.
type Handler struct {
	Admin   *admin.Service
	Reports *reports.Service
	Base    context.Context
	Limit   time.Duration // for one request to the storage
}

// call is a request about an organisation.
type call struct {
	context.Context
	*fiber.Ctx
	who tenancy.Principal
	org tenancy.OrgID
}

// in serves a request about the organisation that OpenAI-Organization names, or else
// the caller's own, and about its project where the path names one. Another's is
// fault.NotFound, but for whoever administers the platform.
func (h *Handler) in(c *fiber.Ctx, do func(call) error) error {
	ctx, cancel := context.WithTimeout(request.Of(c).Within(h.Base), h.Limit)
	defer cancel()
	r := call{ctx, c, request.Of(c).Caller, tenancy.OrgID{}}
	r.org = r.who.Org()
	switch named := c.Request().Header.PeekAll("OpenAI-Organization"); len(named) {
	case 0:
	case 1:
		var err error
		if r.org, err = tenancy.ParseOrgID(string(named[0])); err != nil {
			return tenancy.NoOrg()
		}
		if r.org != r.who.Org() {
			if _, err := h.Admin.Org(ctx, r.who, r.org); err != nil {
				return err
			}
		}
	default:
		return fault.Invalidf("OpenAI-Organization", "invalid_value", "Send one OpenAI-Organization, not %d.", len(named))
	}
	request.Of(c).Org = r.org
	if p := c.Params("project"); p != "" {
		if id, err := tenancy.ParseProjectID(p); err != nil || id != tenancy.ProjectOf(r.org) {
			return fault.NotFoundf("project_not_found", "There is no such project.")
		}
	}
	return do(r)
}

// user reads the user of the path.
func (r call) user(param string) (tenancy.UserID, error) {
	id, err := tenancy.ParseUserID(r.Params(param))
	if err != nil {
		return id, tenancy.NoMember()
	}
	return id, nil
}

// key reads the API key of the path.
func (r call) key() (tenancy.KeyID, error) {
	id, err := tenancy.ParseKeyID(r.Params("key"))
	if err != nil {
		return id, tenancy.NoKey()
	}
	return id, nil
}

// once reads what makes the request's repetition harmless.
func (r call) once() (o admin.Once, err error) {
	o.Key, o.Body, err = rest.Once(r.Ctx, r.Method()+" "+r.Path())
	return o, err
}

// body reads a JSON object of which these members must be there.
func (r call) body(takes rest.Members, required ...string) error {
	there := map[string]bool{}
	for name, read := range takes {
		takes[name] = noted(there, name, read)
	}
	if err := rest.Body(r.Ctx, takes); err != nil {
		return err
	}
	for _, name := range required {
		if !there[name] {
			return fault.Invalidf(name, "missing_required_parameter", "Missing required parameter: '%s'.", name)
		}
	}
	return nil
}

// noted reads a member, and notes that it is there.
func noted(there map[string]bool, name string, read func(*jsontext.Reader) error) func(*jsontext.Reader) error {
	return func(r *jsontext.Reader) error {
		there[name] = true
		return read(r)
	}
}

// list is the envelope of all lists.
type list struct {
	Object string  `json:"object"`
	Data   []any   `json:"data"`
	First  *string `json:"first_id"`
	Last   *string `json:"last_id"`
	More   bool    `json:"has_more"`
}

// sendList answers with a page of what is found.
func sendList[T any](r call, found page.Of[T], as func(T) (id string, object any)) error {
	l := list{Object: "list", Data: []any{}, More: found.More}
	for _, v := range found.Items {
		id, object := as(v)
		if l.Data = append(l.Data, object); l.First == nil {
			l.First = &id
		}
		l.Last = &id
	}
	return rest.Send(r.Ctx, l)
}

// deleted is what is left of something.
type deleted struct {
	Object  string `json:"object"`
	ID      string `json:"id"`
	Deleted bool   `json:"deleted"`
}

// seconds is null for a time that has not come.
func seconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	n := t.Unix()
	return &n
}

// text is null where nothing is known.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
