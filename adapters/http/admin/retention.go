package admin

import (
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
)

// kept is how long an organisation's data is kept, as callers see it: in seconds;
// null: for ever.
type kept struct {
	Object      string    `json:"object"`
	Org         string    `json:"org_id"`
	Own         bool      `json:"own"` // not only the server's, which holds for everybody
	Sessions    *int64    `json:"sessions_seconds"`
	Usage       *int64    `json:"usage_seconds"`
	MaxSessions *int64    `json:"max_sessions_seconds"` // by the configuration
	MaxUsage    *int64    `json:"max_usage_seconds"`
	Version     int       `json:"version"` // the organisation's
	Updated     time.Time `json:"updated_at"`
}

func seconds(keep time.Duration) *int64 {
	if keep == 0 {
		return nil
	}
	return new(int64(keep / time.Second))
}

func sendKept(c *fiber.Ctx, k admin.Kept) error {
	return rest.SendVersion(c, k.Org.Version, kept{
		"organization.retention", k.Org.ID.String(), k.Own, seconds(k.Holds.Sessions), seconds(k.Holds.Usage), seconds(k.Longest.Sessions), seconds(k.Longest.Usage),
		k.Org.Version, k.Org.Updated.UTC(),
	})
}

// Retention answers GET /api/v1/orgs/{org}/retention.
func (h *Handler) Retention(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	k, err := h.Admin.Retention(ctx, caller(c), id)
	if err != nil {
		return err
	}
	return sendKept(c, k)
}

// EditRetention answers PATCH /api/v1/orgs/{org}/retention, with a merge patch.
func (h *Handler) EditRetention(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	var e admin.KeepEdit
	if err := rest.Patch(c, rest.Members{"sessions_seconds": lasting("sessions_seconds", &e.Sessions), "usage_seconds": lasting("usage_seconds", &e.Usage)}); err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	k, err := h.Admin.EditRetention(ctx, caller(c), id, rest.Versions(c, "If-Match", false), e)
	if err != nil {
		return err
	}
	return sendKept(c, k)
}

// lasting reads seconds; null is as long as the server keeps it.
func lasting(name string, to **time.Duration) func(*jsontext.Reader) error {
	return func(r *jsontext.Reader) error {
		*to = new(time.Duration)
		if r.Kind() == 'n' {
			return r.Null()
		}
		text, err := r.Value()
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(text), 10, 33)
		if err != nil || n <= 0 {
			return fault.Invalidf(name, "invalid_type", "%s must be a number of seconds, or null.", name)
		}
		**to = time.Duration(n) * time.Second
		return nil
	}
}
