// Package admin lets callers see who they are and make API keys, administrators
// manage their organisation, and operators the platform.
package admin

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/request"
	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/application/operations"
	"agentapi/application/reports"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// Handler serves /api/v1/me, /api/v1/orgs and /api/v1/platform.
type Handler struct {
	Admin      *admin.Service
	Operations *operations.Service
	Reports    *reports.Service
	Base       context.Context
	Limit      time.Duration // for one request to the storage
	Stall      time.Duration // how long a client may take nothing of a file
}

// patient is the context of what takes longer than one request to the storage.
func (h *Handler) patient(c *fiber.Ctx) (context.Context, context.CancelFunc) {
	return context.WithTimeout(request.Of(c).Within(h.Base), 5*h.Limit)
}

func (h *Handler) context(c *fiber.Ctx) (context.Context, context.CancelFunc) {
	return context.WithTimeout(request.Of(c).Within(h.Base), h.Limit)
}

func caller(c *fiber.Ctx) tenancy.Principal { return request.Of(c).Caller }

// org reads the organisation of the path; what is no id names none.
func org(c *fiber.Ctx) (tenancy.OrgID, error) {
	id, err := tenancy.ParseOrgID(c.Params("org"))
	if err != nil {
		return id, tenancy.NoOrg()
	}
	return id, nil
}

func user(c *fiber.Ctx, absent error) (tenancy.UserID, error) {
	id, err := tenancy.ParseUserID(c.Params("user"))
	if err != nil {
		return id, absent
	}
	return id, nil
}

// sendList answers with a page of what is found.
func sendList[T any](c *fiber.Ctx, found page.Of[T], as func(T) (id string, object any)) error {
	data, ids := make([]any, len(found.Items)), make([]string, len(found.Items))
	for i, v := range found.Items {
		ids[i], data[i] = as(v)
	}
	return rest.SendList(c, data, ids, found.More)
}

// listed reads the query of a list, runs it and answers.
func listed[T any](h *Handler, c *fiber.Ctx, list func(ctx context.Context, q page.Query) (page.Of[T], error), as func(T) (string, any)) error {
	return filtered(h, c, nil, list, as)
}

// words read the query parameters that choose what a list holds.
type words map[string]func(value string) error

// filtered is listed with words, which are read before the list is asked for.
func filtered[T any](h *Handler, c *fiber.Ctx, w words, list func(ctx context.Context, q page.Query) (page.Of[T], error), as func(T) (string, any)) error {
	q, err := rest.Query(c, strings.Join(slices.Sorted(maps.Keys(w)), ", "), func(name, value string) (known bool, err error) {
		read, known := w[name]
		if known {
			err = read(value)
		}
		return known, err
	})
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	found, err := list(ctx, q)
	if err != nil {
		return err
	}
	return sendList(c, found, as)
}

// status reads a status into to; closed is an organisation's.
func status(to *tenancy.Status, org bool) func(string) error {
	return func(value string) error {
		*to = tenancy.Status(value)
		return tenancy.CheckStatus(*to, org)
	}
}

// search reads a text that is looked for into to.
func search(to *string) func(string) error {
	return func(value string) error {
		*to = value
		return tenancy.CheckSearch("q", value)
	}
}

// deleted is what is left of something.
type deleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

// me is who the caller is.
type me struct {
	Object      string               `json:"object"`
	User        string               `json:"user_id"`
	Name        string               `json:"name,omitempty"`
	Email       string               `json:"email,omitempty"`
	Org         string               `json:"org_id"`
	OrgName     string               `json:"org_name"`
	Role        tenancy.Role         `json:"role"`
	Permissions []tenancy.Permission `json:"permissions"`
	Method      string               `json:"auth_method"`
	Issuer      string               `json:"issuer"`
	Subject     string               `json:"subject"`
	Key         *string              `json:"api_key_id"`
	Expires     *time.Time           `json:"expires_at"`
}

// Me answers GET /api/v1/me.
func (h *Handler) Me(c *fiber.Ctx) error {
	ctx, cancel := h.context(c)
	defer cancel()
	who := caller(c)
	got, err := h.Admin.Me(ctx, who)
	if err != nil {
		return err
	}
	out := me{
		Object: "me", User: who.User().String(), Org: who.Org().String(), Role: who.Role(), Permissions: who.Permissions(), Method: who.Identity().Method,
		Issuer: who.Identity().Issuer, Subject: who.Identity().Subject, Expires: when(who.Identity().Expires),
	}
	if k := who.Key(); k != nil {
		id := k.ID.String()
		out.Key = &id
	}
	if o := got.Known.Org; o != nil {
		out.OrgName = o.Title
	}
	if u := got.Known.User; u != nil {
		out.Issuer, out.Subject = u.Issuer, u.Subject
	}
	if m := got.Known.Member; m != nil {
		out.Name, out.Email = m.Name, m.Email
	}
	return rest.Send(c, out)
}

// when is null for a time that has not come.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
