package admin

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/domain/budget"
	"agentapi/domain/page"
	"agentapi/domain/price"
	"agentapi/domain/tenancy"
)

// fund is a budget as callers see it.
type fund struct {
	ID       string        `json:"id"`
	Object   string        `json:"object"`
	Org      string        `json:"org_id"`
	User     *string       `json:"user_id"`
	Key      *string       `json:"api_key_id"`
	Period   budget.Period `json:"period"`
	Limit    price.Micro   `json:"limit_micro"`
	Spent    price.Micro   `json:"spent_micro"`
	Reserved price.Micro   `json:"reserved_micro"`
	Left     price.Micro   `json:"left_micro"`
	Start    *time.Time    `json:"period_start_at"`
	Resets   *time.Time    `json:"resets_at"`
	Version  int           `json:"version"`
	Created  time.Time     `json:"created_at"`
	Updated  time.Time     `json:"updated_at"`
}

func fundOf(s *budget.State) fund {
	now := time.Now()
	out := fund{
		ID: s.ID.String(), Object: "budget", Org: s.Org.String(), Period: s.Period, Limit: s.Limit, Spent: s.Spent, Reserved: s.Reserved,
		Left: max(s.Left(), 0), Resets: when(s.Period.Until(now)), Version: s.Version, Created: s.Created.UTC(), Updated: s.Updated.UTC(),
	}
	if s.Period != budget.Total {
		out.Start = when(s.Period.Since(now))
	}
	if !s.User.IsZero() {
		id := s.User.String()
		out.User = &id
	}
	if !s.Key.IsZero() {
		id := s.Key.String()
		out.Key = &id
	}
	return out
}

// Budgets answers GET /api/v1/orgs/{org}/budgets.
func (h *Handler) Budgets(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	return listed(h, c, func(ctx context.Context, q page.Query) (page.Of[*budget.State], error) {
		return h.Admin.Budgets(ctx, caller(c), id, q)
	}, func(s *budget.State) (string, any) { return s.ID.String(), fundOf(s) })
}

// ofBudget reads the organisation and the budget of the path.
func ofBudget(c *fiber.Ctx) (in tenancy.OrgID, id budget.ID, err error) {
	if in, err = org(c); err != nil {
		return in, id, err
	}
	if id, err = budget.ParseID(c.Params("budget")); err != nil {
		return in, id, budget.Absent()
	}
	return in, id, nil
}

// Budget answers GET /api/v1/orgs/{org}/budgets/{budget}.
func (h *Handler) Budget(c *fiber.Ctx) error {
	in, id, err := ofBudget(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	s, err := h.Admin.Budget(ctx, caller(c), in, id)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, s.Version, fundOf(s))
}

// CreateBudget answers POST /api/v1/orgs/{org}/budgets.
func (h *Handler) CreateBudget(c *fiber.Ctx) error {
	in, err := org(c)
	if err != nil {
		return err
	}
	var (
		n                 admin.NewBudget
		user, key, period string
		limit             = -1
	)
	err = rest.Body(c, rest.Members{
		"user_id": rest.Text("user_id", &user), "api_key_id": rest.Text("api_key_id", &key), "period": rest.Text("period", &period),
		"limit_micro": rest.Integer("limit_micro", 0, math.MaxInt64, &limit),
	})
	if err != nil {
		return err
	}
	if user != "" {
		if n.User, err = tenancy.ParseUserID(user); err != nil {
			return tenancy.NoMember()
		}
	}
	if key != "" {
		if n.Key, err = tenancy.ParseKeyID(key); err != nil {
			return tenancy.NoKey()
		}
	}
	n.Period, n.Limit = budget.Period(period), price.Micro(limit)
	once, err := onceOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	s, err := h.Admin.CreateBudget(ctx, caller(c), in, n, once)
	if err != nil {
		return err
	}
	c.Set("Location", "/api/v1/orgs/"+s.Org.String()+"/budgets/"+s.ID.String())
	c.Set("ETag", rest.ETag(s.Version))
	c.Status(http.StatusCreated)
	return rest.Send(c, fundOf(s))
}

// EditBudget answers PATCH /api/v1/orgs/{org}/budgets/{budget}, with a merge patch.
func (h *Handler) EditBudget(c *fiber.Ctx) error {
	in, id, err := ofBudget(c)
	if err != nil {
		return err
	}
	limit := -1
	if err := rest.Patch(c, rest.Members{"limit_micro": rest.Integer("limit_micro", 0, math.MaxInt64, &limit)}); err != nil {
		return err
	}
	var wish *price.Micro
	if limit >= 0 {
		m := price.Micro(limit)
		wish = &m
	}
	ctx, cancel := h.context(c)
	defer cancel()
	s, err := h.Admin.EditBudget(ctx, caller(c), in, id, rest.Versions(c, "If-Match", false), wish)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, s.Version, fundOf(s))
}

// RemoveBudget answers DELETE /api/v1/orgs/{org}/budgets/{budget}.
func (h *Handler) RemoveBudget(c *fiber.Ctx) error {
	in, id, err := ofBudget(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	if err := h.Admin.RemoveBudget(ctx, caller(c), in, id, rest.Versions(c, "If-Match", false)); err != nil {
		return err
	}
	return rest.Send(c, deleted{ID: id.String(), Object: "budget.deleted", Deleted: true})
}
