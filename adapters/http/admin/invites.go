package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
)

// invite is an invitation as administrators see it.
type invite struct {
	ID       string                   `json:"id"`
	Object   string                   `json:"object"`
	Org      string                   `json:"org_id"`
	Email    string                   `json:"email"`
	Role     tenancy.Role             `json:"role"`
	Status   tenancy.InvitationStatus `json:"status"`
	By       string                   `json:"invited_by"`
	User     *string                  `json:"user_id"` // who accepted
	Expires  time.Time                `json:"expires_at"`
	Accepted *time.Time               `json:"accepted_at"`
	Version  int                      `json:"version"`
	Created  time.Time                `json:"created_at"`
	Updated  time.Time                `json:"updated_at"`
	PassOn   *passOn                  `json:"pass_on,omitempty"` // when it is made
}

// passOn is what the invited person must be told: the server tells nobody anything.
type passOn struct {
	EmailSent bool   `json:"email_sent"` // never
	Message   string `json:"message"`
	Issuer    string `json:"issuer"`
	Org       string `json:"organization"` // in the issuer's words
}

func inviteOf(i *tenancy.Invitation) invite {
	out := invite{
		ID: i.ID.String(), Object: "invite", Org: i.Org.String(), Email: i.Email, Role: i.Role, Status: i.Status, By: i.By.String(),
		Expires: i.Expires.UTC(), Accepted: when(i.Accepted), Version: i.Version, Created: i.Created.UTC(), Updated: i.Updated.UTC(),
	}
	if !i.User.IsZero() {
		user := i.User.String()
		out.User = &user
	}
	return out
}

// instructions say what to pass on about an invitation to an organisation.
func instructions(i *tenancy.Invitation, o *tenancy.Org) *passOn {
	p := &passOn{Issuer: o.Issuer, Org: o.Name}
	if strings.HasPrefix(o.Issuer, "http") {
		p.Message = fmt.Sprintf("No e-mail was sent. Tell %s the address of this server, and to log in at %s with this e-mail address, verified there, until %s; the token should name the organisation %s, or none.",
			i.Email, o.Issuer, i.Expires.UTC().Format("2 January 2006"), o.Name)
	} else {
		p.Message = fmt.Sprintf("No e-mail was sent, and nobody can accept this: the organisation is known by the name %s of %q, which logs nobody in by e-mail.", o.Name, o.Issuer)
	}
	return p
}

// Invites answers GET /api/v1/orgs/{org}/invites; status chooses.
func (h *Handler) Invites(c *fiber.Ctx) error {
	id, err := org(c)
	if err != nil {
		return err
	}
	var f tenancy.InvitationFilter
	return filtered(h, c, words{"status": func(value string) error {
		s := tenancy.InvitationStatus(value)
		switch s {
		case tenancy.Pending, tenancy.Accepted, tenancy.Expired, tenancy.Revoked:
		default:
			return fault.Invalidf("status", "invalid_value", "status must be pending, accepted, expired or revoked.")
		}
		f.Status = []tenancy.InvitationStatus{s}
		return nil
	}}, func(ctx context.Context, q page.Query) (page.Of[*tenancy.Invitation], error) {
		return h.Admin.Invitations(ctx, caller(c), id, f, q)
	}, func(i *tenancy.Invitation) (string, any) { return i.ID.String(), inviteOf(i) })
}

// Invite answers POST /api/v1/orgs/{org}/invites.
func (h *Handler) Invite(c *fiber.Ctx) error {
	in, err := org(c)
	if err != nil {
		return err
	}
	var n admin.NewInvitation
	err = rest.Body(c, rest.Members{
		"email": rest.Text("email", &n.Email), "role": rest.Text("role", &n.Role), "expires_at": rest.Time("expires_at", &n.Expires),
	})
	if err != nil {
		return err
	}
	once, err := onceOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	i, err := h.Admin.Invite(ctx, caller(c), in, n, once)
	if err != nil {
		return err
	}
	o, err := h.Admin.Org(ctx, caller(c), in)
	if err != nil {
		return err
	}
	out := inviteOf(i)
	out.PassOn = instructions(i, o)
	c.Set("Location", "/api/v1/orgs/"+out.Org+"/invites/"+out.ID)
	c.Status(http.StatusCreated)
	return rest.SendVersion(c, i.Version, out)
}

// invitation reads the organisation and the invitation of the path.
func invitation(c *fiber.Ctx) (in tenancy.OrgID, id tenancy.InvitationID, err error) {
	if in, err = org(c); err != nil {
		return in, id, err
	}
	if id, err = tenancy.ParseInvitationID(c.Params("invite")); err != nil {
		return in, id, tenancy.NoInvitation()
	}
	return in, id, nil
}

// Invitation answers GET /api/v1/orgs/{org}/invites/{invite}.
func (h *Handler) Invitation(c *fiber.Ctx) error {
	in, id, err := invitation(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	i, err := h.Admin.Invitation(ctx, caller(c), in, id)
	if err != nil {
		return err
	}
	return rest.SendVersion(c, i.Version, inviteOf(i))
}

// RevokeInvitation answers DELETE /api/v1/orgs/{org}/invites/{invite}: it stays listed,
// as revoked.
func (h *Handler) RevokeInvitation(c *fiber.Ctx) error {
	in, id, err := invitation(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.context(c)
	defer cancel()
	i, err := h.Admin.RevokeInvitation(ctx, caller(c), in, id, rest.Versions(c, "If-Match", false))
	if err != nil {
		return err
	}
	return rest.SendVersion(c, i.Version, inviteOf(i))
}
