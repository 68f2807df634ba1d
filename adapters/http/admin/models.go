package admin

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/application/catalog"
	"agentapi/application/operations"
	"agentapi/domain/page"
)

// servedModel is a model as an agent serves it.
type servedModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Agent   string `json:"agent"`
	Model   string `json:"model"`
	OwnedBy string `json:"owned_by"`
	Context *int   `json:"context_tokens"`
	Prefix  bool   `json:"prefix"` // it stands for all ids that begin so
	Enabled bool   `json:"enabled"`
}

// Models answers GET /api/v1/platform/models.
func (h *Handler) Models(c *fiber.Ctx) error {
	return listed(h, c, func(ctx context.Context, q page.Query) (page.Of[operations.Model], error) {
		return h.Operations.Models(ctx, caller(c), q)
	}, func(m operations.Model) (string, any) {
		return m.ID, servedModel{m.ID, "agent.model", string(m.Agent), m.Model.ID, m.Model.OwnedBy, known(m.Model.Context), m.Model.Wildcard(), m.Enabled}
	})
}

// known is null for a number that is not known.
func known(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// aliasObject is a name of the configuration's own.
type aliasObject struct {
	ID         string      `json:"id"`
	Object     string      `json:"object"`
	Candidates []candidate `json:"candidates"`
	Enabled    bool        `json:"enabled"` // one of them is
}

type candidate struct {
	Agent   string `json:"agent"`
	Model   string `json:"model"`
	Enabled bool   `json:"enabled"`
}

// Aliases answers GET /api/v1/platform/aliases.
func (h *Handler) Aliases(c *fiber.Ctx) error {
	return listed(h, c, func(ctx context.Context, q page.Query) (page.Of[operations.Alias], error) {
		return h.Operations.Aliases(ctx, caller(c), q)
	}, func(a operations.Alias) (string, any) {
		out := aliasObject{ID: a.Name, Object: "alias"}
		for _, c := range a.Candidates {
			out.Candidates = append(out.Candidates, candidate{string(c.Agent), c.Model, c.Enabled})
			out.Enabled = out.Enabled || c.Enabled
		}
		return a.Name, out
	})
}

// orgModel is a model that an organisation may ask for.
type orgModel struct {
	ID      string    `json:"id"`
	Object  string    `json:"object"`
	OwnedBy string    `json:"owned_by"`
	Context *int      `json:"context_tokens"`
	Created time.Time `json:"created_at"`
}

// OrgModels answers GET /api/v1/orgs/{org}/models.
func (h *Handler) OrgModels(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	return listed(h, c, func(ctx context.Context, q page.Query) (page.Of[catalog.Listed], error) {
		return h.Operations.OrgModels(ctx, caller(c), id, q)
	}, func(m catalog.Listed) (string, any) {
		return m.ID, orgModel{m.ID, "model", m.OwnedBy, known(m.Context), m.Created.UTC()}
	})
}
