package admin

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
)

// kept is how long an organisation's data is kept, as callers see it: in seconds;
// null: for ever.
type kept struct {
	Object   string `json:"object"`
	Org      string `json:"org_id"`
	Own      bool   `json:"own"` // not the server's, which holds for everybody else
	Sessions *int64 `json:"sessions_seconds"`
	Usage    *int64 `json:"usage_seconds"`
}

func seconds(keep time.Duration) *int64 {
	if keep == 0 {
		return nil
	}
	return new(int64(keep / time.Second))
}

// Retention answers GET /api/v1/orgs/{org}/retention.
func (h *Handler) Retention(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context()
	defer cancel()
	holds, own, err := h.Admin.Retention(ctx, caller(c), id)
	if err != nil {
		return err
	}
	return rest.Send(c, kept{"organization.retention", id.String(), own, seconds(holds.Sessions), seconds(holds.Usage)})
}
