package organization

import (
	"github.com/gofiber/fiber/v2"

	"agentapi/adapters/http/rest"
	"agentapi/application/admin"
	"agentapi/domain/fault"
	"agentapi/domain/jsontext"
	"agentapi/domain/tenancy"
)

// invite is an invitation that was not taken back.
type invite struct {
	Object   string                   `json:"object"`
	ID       string                   `json:"id"`
	Email    string                   `json:"email"`
	Role     string                   `json:"role"`
	Status   tenancy.InvitationStatus `json:"status"`
	Created  int64                    `json:"created_at"`
	Expires  int64                    `json:"expires_at"`
	Accepted *int64                   `json:"accepted_at"`
	Projects []inviteProject          `json:"projects"`
}

type inviteProject struct {
	ID   string `json:"id"`
	Role string `json:"role"`
}

func inviteOf(i *tenancy.Invitation) invite {
	return invite{
		"organization.invite", i.ID.String(), i.Email, roleOf(i.Role), i.Status, i.Created.Unix(), i.Expires.Unix(), seconds(i.Accepted),
		[]inviteProject{{tenancy.ProjectOf(i.Org).String(), inProject(i.Role)}},
	}
}

// Invites answers GET /v1/organization/invites.
func (h *Handler) Invites(c *fiber.Ctx) error {
	q, err := rest.Query(c, "", nil)
	if err != nil {
		return err
	}
	return h.in(c, func(r call) error {
		f := tenancy.InvitationFilter{Status: []tenancy.InvitationStatus{tenancy.Pending, tenancy.Accepted, tenancy.Expired}}
		found, err := h.Admin.Invitations(r, r.who, r.org, f, q)
		if err != nil {
			return err
		}
		return sendList(r, found, func(i *tenancy.Invitation) (string, any) { return i.ID.String(), inviteOf(i) })
	})
}

// Invite answers POST /v1/organization/invites. Projects may name the one that the
// organisation is, in which everybody of it has the role that goes with theirs.
func (h *Handler) Invite(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		var (
			n    admin.NewInvitation
			word string
			in   []inviteProject
		)
		err := r.body(rest.Members{"email": rest.Text("email", &n.Email), "role": rest.Text("role", &word), "projects": projects(&in)}, "email", "role")
		if err != nil {
			return err
		}
		if n.Role, err = ours(word); err != nil {
			return err
		}
		for _, p := range in {
			if p.ID != tenancy.ProjectOf(r.org).String() {
				return fault.Invalidf("projects", "invalid_value", "The organisation has no project %s.", rest.Clip(p.ID)).WithHint("Its one project is " + tenancy.ProjectOf(r.org).String() + ".")
			}
			if p.Role != inProject(n.Role) {
				return fault.Invalidf("projects", "invalid_value", "Whoever is %s of the organisation is %s of its project.", word, inProject(n.Role))
			}
		}
		once, err := r.once()
		if err != nil {
			return err
		}
		i, err := h.Admin.Invite(r, r.who, r.org, n, once)
		if err != nil {
			return err
		}
		return rest.Send(c, inviteOf(i))
	})
}

// projects reads which projects somebody is invited to.
func projects(to *[]inviteProject) func(*jsontext.Reader) error {
	return func(r *jsontext.Reader) error {
		if r.Kind() != '[' {
			return rest.WrongType(r, "projects", "a list of objects")
		}
		return r.Array(func(int) error {
			var p inviteProject
			text, err := r.Value()
			if err == nil {
				err = rest.ReadObject(text, rest.Members{"id": rest.Text("id", &p.ID), "role": rest.Text("role", &p.Role)})
			}
			*to = append(*to, p)
			return err
		})
	}
}

// invitation is one that was not taken back.
func (h *Handler) invitation(r call) (*tenancy.Invitation, error) {
	id, err := tenancy.ParseInvitationID(r.Params("invite"))
	if err != nil {
		return nil, tenancy.NoInvitation()
	}
	i, err := h.Admin.Invitation(r, r.who, r.org, id)
	if err == nil && i.Status == tenancy.Revoked {
		return nil, tenancy.NoInvitation()
	}
	return i, err
}

// Invitation answers GET /v1/organization/invites/{invite}.
func (h *Handler) Invitation(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		i, err := h.invitation(r)
		if err != nil {
			return err
		}
		return rest.Send(c, inviteOf(i))
	})
}

// Uninvite answers DELETE /v1/organization/invites/{invite}.
func (h *Handler) Uninvite(c *fiber.Ctx) error {
	return h.in(c, func(r call) error {
		i, err := h.invitation(r)
		if err == nil {
			_, err = h.Admin.RevokeInvitation(r, r.who, r.org, i.ID, nil)
		}
		if err != nil {
			return err
		}
		return rest.Send(c, deleted{"organization.invite.deleted", i.ID.String(), true})
	})
}
