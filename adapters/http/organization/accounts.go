package organization

import (
	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/tenancy"
)

// account is a service account of the project.
type account struct {
	Object  string `json:"object"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	Role    string `json:"role"`
	Created int64  `json:"created_at"`
}

func accountOf(m *tenancy.Member) account {
	return account{"organization.project.service_account", m.User.String(), m.Name, inProject(m.Role), m.Created.Unix()}
}

// accountKey is the key that an account is made with.
type accountKey struct {
	Object  string `json:"object"`
	Value   string `json:"value,omitempty"` // this once
	Name    string `json:"name"`
	Created int64  `json:"created_at"`
	ID      string `json:"id"`
}

// newAccount is an account when it is made.
type newAccount struct {
	account
	Key *accountKey `json:"api_key"`
}

// Accounts answers GET /v1/organization/projects/{project}/service_accounts.
func (h *Handler) Accounts(c *fiber.Ctx) error {
	q, err := rest.Query(c, "", nil)
	if err != nil {
		return err
	}
	return h.in(c, func(r call) error {
		found, err := h.Admin.Members(r, r.who, r.org, tenancy.MemberFilter{Roles: []tenancy.Role{tenancy.Service}}, q)
		if err != nil {
			return err
		}
		return sendList(r, found, func(m *tenancy.Member) (string, any) { return m.User.String(), accountOf(m) })
	})
}

// CreateAccount answers POST /v1/organization/projects/{project}/service_accounts.
func (h *Handler) CreateAccount(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		var (
			name    string
			keyless bool
		)
		err := r.body(rest.Members{"name": rest.Text("name", &name), "create_service_account_only": rest.Bool("create_service_account_only", &keyless)}, "name")
		if err != nil {
			return err
		}
		once, err := r.once()
		if err != nil {
			return err
		}
		m, k, credential, err := h.Admin.CreateService(r, r.who, r.org, name, !keyless, once)
		if err != nil {
			return err
		}
		out := newAccount{account: accountOf(m)}
		if k != nil {
			out.Key = &accountKey{"organization.project.service_account.api_key", credential, k.Name, k.Created.Unix(), k.ID.String()}
			shown(c, credential)
		}
		return rest.Send(c, out)
	})
}

// shown keeps a credential out of caches; a repetition has none, and says so.
func shown(c *fiber.Ctx, credential string) {
	c.Set("Cache-Control", "no-store")
	if credential == "" {
		c.Set("Idempotent-Replayed", "true")
	}
}

// service is a service account.
func (h *Handler) service(r call) (*tenancy.Member, error) {
	id, err := r.user("account")
	if err != nil {
		return nil, err
	}
	m, err := h.Admin.Member(r, r.who, r.org, id)
	if err == nil && m.Role != tenancy.Service {
		return nil, tenancy.NoMember()
	}
	return m, err
}

// Account answers GET /v1/organization/projects/{project}/service_accounts/{account}.
func (h *Handler) Account(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		m, err := h.service(r)
		if err != nil {
			return err
		}
		return rest.Send(c, accountOf(m))
	})
}

// RemoveAccount answers DELETE /v1/organization/projects/{project}/service_accounts/{account}:
// its keys go with it.
func (h *Handler) RemoveAccount(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		m, err := h.service(r)
		if err == nil {
			err = h.Admin.RemoveMember(r, r.who, r.org, m.User, nil)
		}
		if err != nil {
			return err
		}
		return rest.Send(c, deleted{"organization.project.service_account.deleted", m.User.String(), true})
	})
}
