package admin

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/domain/jsontext"
	"agentapi/domain/quota"
	"agentapi/domain/tenancy"
)

// bounds is the limits of an organisation, a member or a key, as callers see them.
type bounds struct {
	Object  string                 `json:"object"`
	Org     string                 `json:"org_id"`
	User    *string                `json:"user_id"`
	Key     *string                `json:"api_key_id"`
	Own     map[quota.Bound]*int64 `json:"own"` // null: none was given
	Holds   map[quota.Bound]holds  `json:"effective"`
	Version int                    `json:"version"`
	Updated time.Time              `json:"updated_at"`
}

// holds is one limit that holds.
type holds struct {
	Limit *int64       `json:"limit"` // null: none
	From  quota.Source `json:"from"`
}

func sendBounds(c *fiber.Ctx, b admin.Bounded) error {
	out := bounds{
		Object: "limits", Org: b.Org.String(), Own: make(map[quota.Bound]*int64), Holds: make(map[quota.Bound]holds), Version: b.Version, Updated: b.Updated.UTC(),
	}
	if !b.User.IsZero() {
		out.User = new(b.User.String())
	}
	if !b.Key.IsZero() {
		out.Key = new(b.Key.String())
	}
	for _, e := range b.Holds {
		h := holds{From: e.From}
		if e.Limit > 0 {
			h.Limit = new(e.Limit)
		}
		out.Holds[e.Bound], out.Own[e.Bound] = h, nil
		if n, given := b.Given[e.Bound]; given {
			out.Own[e.Bound] = new(n)
		}
	}
	c.Set("ETag", rest.ETag(b.Version)) // for If-Match: what holds depends on more
	return rest.Send(c, out)
}

// limited reads whose limits the path means.
func limited(c *fiber.Ctx) (of admin.Limited, err error) {
	if of.Org, err = org(c); err != nil {
		return of, err
	}
	if text := c.Params("user"); text != "" {
		if of.User, err = tenancy.ParseUserID(text); err != nil {
			return of, tenancy.NoMember()
		}
	}
	if text := c.Params("key"); text != "" {
		if of.Key, err = tenancy.ParseKeyID(text); err != nil {
			return of, tenancy.NoKey()
		}
	}
	return of, nil
}

// Limits answers GET /api/v1/orgs/{org}/limits, …/members/{user}/limits and
// …/api-keys/{key}/limits.
func (h *Handler) Limits(c *fiber.Ctx) error {
	of, err := limited(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	b, err := h.Admin.Limits(ctx, caller(c), of)
	if err != nil {
		return err
	}
	return sendBounds(c, b)
}

// EditLimits answers PATCH of the same, with a merge patch.
func (h *Handler) EditLimits(c *fiber.Ctx) error {
	of, err := limited(c)
	if err != nil {
		return err
	}
	change, takes := make(map[quota.Bound]*int64), make(rest.Members)
	for _, b := range quota.Bounds() {
		takes[string(b)] = func(r *jsontext.Reader) error {
			change[b] = nil
			if r.Kind() == 'n' {
				return r.Null()
			}
			var n int
			if err := rest.Integer(string(b), 0, quota.MostLimit, &n)(r); err != nil {
				return err
			}
			change[b] = new(int64(n))
			return nil
		}
	}
	if err := rest.Patch(c, takes); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	b, err := h.Admin.EditLimits(ctx, caller(c), of, rest.Versions(c, "If-Match", false), change)
	if err != nil {
		return err
	}
	return sendBounds(c, b)
}
