package bunstore

import (
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

type invitationRow struct {
	bun.BaseModel `bun:"table:invitations,alias:inv"`

	OrgID      string     `bun:"org_id,pk"`
	ID         string     `bun:"id,pk"`
	Email      string     `bun:"email"`
	EmailKey   string     `bun:"email_key"`
	Role       string     `bun:"role"`
	InvitedBy  string     `bun:"invited_by"`
	Status     string     `bun:"status"`
	ExpiresAt  time.Time  `bun:"expires_at"`
	AcceptedBy *string    `bun:"accepted_by"`
	AcceptedAt *time.Time `bun:"accepted_at"`
	Version    int        `bun:"version"`
	CreatedAt  time.Time  `bun:"created_at"`
	UpdatedAt  time.Time  `bun:"updated_at"`
}

func rowOfInvitation(i *tenancy.Invitation) *invitationRow {
	r := &invitationRow{
		OrgID: i.Org.UUID(), ID: i.ID.UUID(), Email: storable(i.Email), EmailKey: storable(tenancy.FoldEmail(i.Email)), Role: string(i.Role), InvitedBy: i.By.UUID(),
		Status: string(i.Status), ExpiresAt: session.Moment(i.Expires), AcceptedAt: when(i.Accepted), Version: i.Version,
		CreatedAt: session.Moment(i.Created), UpdatedAt: session.Moment(i.Updated),
	}
	if !i.User.IsZero() {
		user := i.User.UUID()
		r.AcceptedBy = &user
	}
	return r
}

func (r *invitationRow) invitation() (i *tenancy.Invitation, err error) {
	i = &tenancy.Invitation{
		Email: r.Email, Role: tenancy.Role(r.Role), Status: tenancy.InvitationStatus(r.Status), Expires: r.ExpiresAt.UTC(), Accepted: value(r.AcceptedAt).UTC(),
		Version: r.Version, Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(),
	}
	if i.ID, err = tenancy.ParseInvitationID(r.ID); err != nil {
		return nil, corrupt("invitation", err)
	}
	if i.Org, err = tenancy.ParseOrgID(r.OrgID); err != nil {
		return nil, corrupt("invitation", err)
	}
	if i.By, err = tenancy.ParseUserID(r.InvitedBy); err != nil {
		return nil, corrupt("invitation", err)
	}
	if r.AcceptedBy != nil {
		if i.User, err = tenancy.ParseUserID(*r.AcceptedBy); err != nil {
			return nil, corrupt("invitation", err)
		}
	}
	return i, nil
}
