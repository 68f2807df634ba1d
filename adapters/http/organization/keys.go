package organization

import (
	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// projectKey is a key that is no admin key.
type projectKey struct {
	Object   string   `json:"object"`
	Redacted string   `json:"redacted_value"`
	Name     string   `json:"name"`
	Created  int64    `json:"created_at"`
	LastUsed *int64   `json:"last_used_at"`
	ID       string   `json:"id"`
	Access   string   `json:"owner_project_access"`
	Owner    keyOwner `json:"owner"`
}

// keyOwner is whose a key is: a user or a service account.
type keyOwner struct {
	Type    string     `json:"type"`
	User    *ownerUser `json:"user,omitempty"`
	Service *ownerUser `json:"service_account,omitempty"`
}

type ownerUser struct {
	ID      string  `json:"id"`
	Email   *string `json:"email,omitempty"`
	Name    string  `json:"name"`
	Created int64   `json:"created_at"`
	Role    string  `json:"role"`
}

func projectKeyOf(k *tenancy.APIKey, m *tenancy.Member) projectKey {
	out := projectKey{
		Object: "organization.project.api_key", Redacted: k.Hint, Name: k.Name, Created: k.Created.Unix(), LastUsed: seconds(k.LastUsed), ID: k.ID.String(), Access: "active",
	}
	who := &ownerUser{ID: m.User.String(), Name: m.Name, Created: m.Created.Unix(), Role: inProject(m.Role)}
	if m.Role == tenancy.Service {
		out.Owner = keyOwner{Type: "service_account", Service: who}
	} else {
		who.Email = &m.Email
		out.Owner = keyOwner{Type: "user", User: who}
	}
	if m.Status != tenancy.Active {
		out.Access = "inactive"
	}
	return out
}

// owners are whose the keys are.
func (h *Handler) owners(r call, keys ...*tenancy.APIKey) (map[tenancy.UserID]*tenancy.Member, error) {
	f := tenancy.MemberFilter{Users: []tenancy.UserID{}}
	for _, k := range keys {
		f.Users = append(f.Users, k.User)
	}
	found, err := h.Admin.Members(r, r.who, r.org, f, page.Query{Limit: page.MaxLimit})
	out := make(map[tenancy.UserID]*tenancy.Member)
	for _, m := range found.Items {
		out[m.User] = m
	}
	return out, err
}

// keys lists the keys of a sort that were not revoked.
func (h *Handler) keys(r call, admin bool, q page.Query, as func(*tenancy.APIKey, *tenancy.Member) any) error {
	found, err := h.Admin.Keys(r, r.who, r.org, tenancy.KeyFilter{Roles: keyRoles(admin), Kept: true}, q)
	if err != nil {
		return err
	}
	owners, err := h.owners(r, found.Items...)
	if err != nil {
		return err
	}
	kept := page.Of[*tenancy.APIKey]{More: found.More}
	for _, k := range found.Items {
		if owners[k.User] != nil { // whose owner went meanwhile is gone
			kept.Items = append(kept.Items, k)
		}
	}
	return sendList(r, kept, func(k *tenancy.APIKey) (string, any) { return k.ID.String(), as(k, owners[k.User]) })
}

// find gives a key of a sort that was not revoked, and its owner.
func (h *Handler) find(r call, admin bool) (*tenancy.APIKey, *tenancy.Member, error) {
	id, err := r.key()
	if err != nil {
		return nil, nil, err
	}
	k, err := h.Admin.Key(r, r.who, r.org, id)
	if err != nil {
		return nil, nil, err
	}
	owners, err := h.owners(r, k)
	if err == nil && (owners[k.User] == nil || !k.Revoked.IsZero() || k.Role.Can(tenancy.ReadOrg) != admin) {
		err = tenancy.NoKey()
	}
	return k, owners[k.User], err
}

// revoke ends a key of a sort.
func (h *Handler) revoke(r call, admin bool, object string) error {
	k, _, err := h.find(r, admin)
	if err == nil {
		_, err = h.Admin.RevokeKey(r, r.who, r.org, k.ID, nil)
	}
	if err != nil {
		return err
	}
	return rest.Send(r.Ctx, deleted{object, k.ID.String(), true})
}

// ProjectKeys answers GET /v1/organization/projects/{project}/api_keys.
func (h *Handler) ProjectKeys(c *fiber.Ctx) error {
	q, err := rest.Query(c, "owner_project_access", func(name, value string) (bool, error) {
		if name == "owner_project_access" && value != "any" {
			return true, fault.New(fault.Unsupported, "Keys are listed whatever access their owners have: owner_project_access must be any, or absent.").WithCode("unsupported_value").WithParam(name)
		}
		return name == "owner_project_access", nil
	})
	if err != nil {
		return err
	}
	return h.in(c, func(r call) error {
		return h.keys(r, false, q, func(k *tenancy.APIKey, m *tenancy.Member) any { return projectKeyOf(k, m) })
	})
}

// ProjectKey answers GET /v1/organization/projects/{project}/api_keys/{key}.
func (h *Handler) ProjectKey(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		k, m, err := h.find(r, false)
		if err != nil {
			return err
		}
		return rest.Send(c, projectKeyOf(k, m))
	})
}

// RevokeProjectKey answers DELETE /v1/organization/projects/{project}/api_keys/{key}.
func (h *Handler) RevokeProjectKey(c *fiber.Ctx) error {
	return h.in(c, func(r call) error { return h.revoke(r, false, "organization.project.api_key.deleted") })
}
