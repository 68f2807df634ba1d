package organization

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// adminKey is a key that may at least read the organisation.
type adminKey struct {
	Object   string     `json:"object"`
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Redacted string     `json:"redacted_value"`
	Value    string     `json:"value,omitempty"` // this once
	Created  int64      `json:"created_at"`
	Expires  *int64     `json:"expires_at"`
	LastUsed *int64     `json:"last_used_at"`
	Owner    adminOwner `json:"owner"`
}

type adminOwner struct {
	Type    string `json:"type"`
	Object  string `json:"object"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	Created int64  `json:"created_at"`
	Role    string `json:"role"`
}

func adminKeyOf(k *tenancy.APIKey, m *tenancy.Member) adminKey {
	return adminKey{
		Object: "organization.admin_api_key", ID: k.ID.String(), Name: k.Name, Redacted: k.Hint, Created: k.Created.Unix(), Expires: seconds(k.Expires), LastUsed: seconds(k.LastUsed),
		Owner: adminOwner{"user", "organization.user", m.User.String(), m.Name, m.Created.Unix(), roleOf(m.Role)},
	}
}

// AdminKeys answers GET /v1/organization/admin_api_keys.
func (h *Handler) AdminKeys(c *fiber.Ctx) error {
	q, err := rest.Query(c, "", nil)
	if err != nil {
		return err
	}
	return h.in(c, func(r call) error {
		return h.keys(r, true, q, func(k *tenancy.APIKey, m *tenancy.Member) any { return adminKeyOf(k, m) })
	})
}

// maxKeyLife is how many seconds an admin key may be good for that says how long.
const maxKeyLife = 365 * 24 * 60 * 60

// CreateAdminKey answers POST /v1/organization/admin_api_keys. Such a key acts as who
// makes it, and is as much within the organisation.
func (h *Handler) CreateAdminKey(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		if r.org != r.who.Org() {
			return fault.Invalidf("OpenAI-Organization", "invalid_value", "An admin key acts as you, in your own organisation.").
				WithHint("Make a service account there, with POST /v1/organization/projects/{project}/service_accounts.")
		}
		var (
			n    = admin.NewKey{Role: r.who.Role()}
			life int
		)
		if n.Role.IsPlatform() {
			n.Role = tenancy.OrgOwner
		}
		err := r.body(rest.Members{"name": rest.Text("name", &n.Name), "expires_in_seconds": rest.Integer("expires_in_seconds", 1, maxKeyLife, &life)}, "name")
		if err != nil {
			return err
		}
		if life > 0 {
			n.Expires = time.Now().Add(time.Duration(life) * time.Second)
		}
		once, err := r.once()
		if err != nil {
			return err
		}
		k, credential, err := h.Admin.CreateKey(r, r.who, tenancy.OrgID{}, n, once)
		if err != nil {
			return err
		}
		m, err := h.Admin.Member(r, r.who, r.org, k.User)
		if err != nil {
			return err
		}
		out := adminKeyOf(k, m)
		out.Value = credential
		shown(c, credential)
		return rest.Send(c, out)
	})
}

// AdminKey answers GET /v1/organization/admin_api_keys/{key}.
func (h *Handler) AdminKey(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		k, m, err := h.find(r, true)
		if err != nil {
			return err
		}
		return rest.Send(c, adminKeyOf(k, m))
	})
}

// RevokeAdminKey answers DELETE /v1/organization/admin_api_keys/{key}.
func (h *Handler) RevokeAdminKey(c *fiber.Ctx) error {
	return h.in(c, func(r call) error { return h.revoke(r, true, "organization.admin_api_key.deleted") })
}
