package admin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// key is an API key as callers see it.
type key struct {
	ID       string         `json:"id"`
	Object   string         `json:"object"`
	Name     string         `json:"name"`
	Hint     string         `json:"hint"`
	Key      *string        `json:"key,omitempty"` // this once
	User     string         `json:"user_id"`
	Org      string         `json:"org_id"`
	Role     tenancy.Role   `json:"role"`
	Models   []string       `json:"models"`
	Networks []netip.Prefix `json:"networks"`
	SCIM     bool           `json:"scim"`
	Status   string         `json:"status"`
	Expires  *time.Time     `json:"expires_at"`
	LastUsed *time.Time     `json:"last_used_at"`
	Revoked  *time.Time     `json:"revoked_at"`
	Version  int            `json:"version"`
	Created  time.Time      `json:"created_at"`
	Updated  time.Time      `json:"updated_at"`
}

func keyOf(k *tenancy.APIKey) key {
	out := key{
		ID: k.ID.String(), Object: "api_key", Name: k.Name, Hint: k.Hint, User: k.User.String(), Org: k.Org.String(), Role: k.Role, Models: k.Models, Networks: k.Networks,
		SCIM: k.SCIM, Status: "active", Expires: when(k.Expires), LastUsed: when(k.LastUsed), Revoked: when(k.Revoked), Version: k.Version, Created: k.Created.UTC(), Updated: k.Updated.UTC(),
	}
	if out.Models == nil {
		out.Models = []string{}
	}
	if out.Networks == nil {
		out.Networks = []netip.Prefix{}
	}
	switch {
	case !k.Revoked.IsZero():
		out.Status = "revoked"
	case !k.Expires.IsZero() && !time.Now().Before(k.Expires):
		out.Status = "expired"
	}
	return out
}

func listedKey(k *tenancy.APIKey) (string, any) { return k.ID.String(), keyOf(k) }

// OwnKeys answers GET /api/v1/me/api-keys.
func (h *Handler) OwnKeys(c *fiber.Ctx) error {
	return listed(h, c, func(ctx context.Context, q page.Query) (page.Of[*tenancy.APIKey], error) {
		return h.Admin.OwnKeys(ctx, caller(c), q)
	}, listedKey)
}

// Keys answers GET /api/v1/orgs/{org}/api-keys.
func (h *Handler) Keys(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	return listed(h, c, func(ctx context.Context, q page.Query) (page.Of[*tenancy.APIKey], error) {
		return h.Admin.Keys(ctx, caller(c), id, tenancy.KeyFilter{}, q)
	}, listedKey)
}

// realm is the organisation of the path; zero where it is about the caller's own keys.
func realm(c *fiber.Ctx) (tenancy.OrgID, error) {
	if c.Params("org") == "" {
		return tenancy.OrgID{}, nil
	}
	return org(c)
}

// which reads the organisation and the key of the path.
func which(c *fiber.Ctx) (in tenancy.OrgID, id tenancy.KeyID, err error) {
	if in, err = realm(c); err != nil {
		return in, id, err
	}
	if id, err = tenancy.ParseKeyID(c.Params("key")); err != nil {
		return in, id, tenancy.NoKey()
	}
	return in, id, nil
}

// CreateKey answers POST /api/v1/me/api-keys and POST /api/v1/orgs/{org}/api-keys.
func (h *Handler) CreateKey(c *fiber.Ctx) error {
	in, err := realm(c)
	if err != nil {
		return err
	}
	var n admin.NewKey
	takes := rest.Members{
		"name": rest.Text("name", &n.Name), "models": models(&n.Models), "networks": networks(&n.Networks),
		"expires_at": rest.Time("expires_at", &n.Expires),
	}
	if in.IsZero() {
		takes["role"] = rest.Text("role", &n.Role)
	} else {
		takes["service"], takes["scim"] = rest.Text("service", &n.Service), rest.Bool("scim", &n.SCIM)
	}
	if err := rest.Body(c, takes); err != nil {
		return err
	}
	if n.Role != "" {
		if _, err := tenancy.ParseRole(string(n.Role)); err != nil {
			return err
		}
	}
	once, err := onceOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	k, credential, err := h.Admin.CreateKey(ctx, caller(c), in, n, once)
	if err != nil {
		return err
	}
	return sendNewKey(c, k, credential)
}

// RotateKey answers POST …/api-keys/{key}/rotate.
func (h *Handler) RotateKey(c *fiber.Ctx) error {
	in, id, err := which(c)
	if err != nil {
		return err
	}
	const grace = 24 * time.Hour
	seconds := int(grace.Seconds())
	if err := rest.Body(c, rest.Members{"grace_seconds": rest.Integer("grace_seconds", 0, int(admin.MaxGrace.Seconds()), &seconds)}); err != nil {
		return err
	}
	once, err := onceOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	k, credential, err := h.Admin.RotateKey(ctx, caller(c), in, id, time.Duration(seconds)*time.Second, once)
	if err != nil {
		return err
	}
	return sendNewKey(c, k, credential)
}

// sendNewKey answers with a key and its credential, which is not kept: a repetition
// gets the key alone.
func sendNewKey(c *fiber.Ctx, k *tenancy.APIKey, credential string) error {
	out := keyOf(k)
	if credential == "" {
		c.Set("Idempotent-Replayed", "true")
	} else {
		out.Key = &credential
	}
	c.Set("Cache-Control", "no-store")
	c.Set("Location", "/api/v1/orgs/"+out.Org+"/api-keys/"+out.ID)
	c.Set("ETag", rest.ETag(out.Version))
	c.Status(http.StatusCreated)
	return rest.Send(c, out)
}

func onceOf(c *fiber.Ctx) (o admin.Once, err error) {
	o.Key, o.Body, err = rest.Once(c, c.Method()+" "+c.Path())
	return o, err
}

// Key answers GET …/api-keys/{key}.
func (h *Handler) Key(c *fiber.Ctx) error {
	in, id, err := which(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	k, err := h.Admin.Key(ctx, caller(c), in, id)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, k.Version, keyOf(k))
}

// EditKey answers PATCH …/api-keys/{key}, with a merge patch.
func (h *Handler) EditKey(c *fiber.Ctx) error {
	in, id, err := which(c)
	if err != nil {
		return err
	}
	var (
		e     admin.KeyEdit
		until time.Time
		names []string
		nets  []netip.Prefix
	)
	err = rest.Patch(c, rest.Members{
		"name": rest.Optional("name", &e.Name),
		"models": func(r *jsontext.Reader) error {
			e.Models = &names
			return models(&names)(r)
		},
		"networks": func(r *jsontext.Reader) error {
			e.Networks = &nets
			return networks(&nets)(r)
		},
		"expires_at": func(r *jsontext.Reader) error {
			e.Expires = &until
			return rest.Time("expires_at", &until)(r)
		},
	})
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	k, err := h.Admin.EditKey(ctx, caller(c), in, id, rest.Versions(c, "If-Match", false), e)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, k.Version, keyOf(k))
}

// RevokeKey answers DELETE …/api-keys/{key}: it stays listed, as revoked.
func (h *Handler) RevokeKey(c *fiber.Ctx) error {
	in, id, err := which(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	k, err := h.Admin.RevokeKey(ctx, caller(c), in, id, rest.Versions(c, "If-Match", false))
	if err != nil {
		return err
	}
	return rest.SendVersion(c, k.Version, keyOf(k))
}

func models(to *[]string) func(*jsontext.Reader) error {
	return rest.Texts("models", func(text string) error {
		*to = append(*to, text)
		return nil
	})
}

func networks(to *[]netip.Prefix) func(*jsontext.Reader) error {
	return rest.Texts("networks", func(text string) error {
		n, err := netip.ParsePrefix(text)
		if err != nil {
			addr, bad := netip.ParseAddr(text)
			if bad != nil || addr.Zone() != "" {
				return fault.Invalidf("networks", "invalid_value", "A network is an address, or one and its bits, such as 10.0.0.0/8.")
			}
			n = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		}
		*to = append(*to, n.Masked())
		return nil
	})
}
