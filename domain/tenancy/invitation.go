package tenancy

import (
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/id"
)

type invitationKind struct{}

func (invitationKind) Prefix() string { return "inv" }

// InvitationID identifies an invitation.
type InvitationID = id.ID[invitationKind]

// NewInvitationID makes an invitation's id for the moment at.
func NewInvitationID(at time.Time, rand [10]byte) InvitationID {
	return id.New[invitationKind](at, rand)
}

// ParseInvitationID reads an invitation's id in either spelling.
func ParseInvitationID(s string) (InvitationID, error) { return id.Parse[invitationKind](s) }

// InvitationStatus is what has become of an invitation.
type InvitationStatus string

// What may have become of an invitation.
const (
	Pending  InvitationStatus = "pending"
	Accepted InvitationStatus = "accepted"
	Expired  InvitationStatus = "expired"
	Revoked  InvitationStatus = "revoked"
)

// How long an invitation is good for.
const (
	InvitationLife    = 7 * 24 * time.Hour // unless it says otherwise
	MaxInvitationLife = 90 * 24 * time.Hour
)

// Invitation is the word of an administrator that whoever proves to have an e-mail
// address belongs to the organisation.
type Invitation struct {
	ID       InvitationID
	Org      OrgID
	Email    string
	Role     Role
	By       UserID           // who invited
	Status   InvitationStatus // as it was left; see StatusAt
	Expires  time.Time
	User     UserID    // who accepted it
	Accepted time.Time // zero: nobody has
	Version  int
	Created  time.Time
	Updated  time.Time
}

// Check refuses an invitation that is out of bounds.
func (i *Invitation) Check(at time.Time) error {
	if err := CheckEmail("email", i.Email); err != nil {
		return err
	}
	switch i.Role {
	case OrgOwner, OrgAdmin, OrgAuditor, OrgMember:
	default:
		return fault.Invalidf("role", "invalid_value", "%q is no role to invite to (have org_owner, org_admin, org_auditor, org_member).", i.Role)
	}
	if !i.Expires.After(at) || i.Expires.After(at.Add(MaxInvitationLife)) {
		return fault.Invalidf("expires_at", "out_of_range", "expires_at must lie in the future, and within %d days.", int(MaxInvitationLife.Hours()/24))
	}
	return nil
}

// StatusAt is how the invitation stands at a moment: one whose time has passed is
// expired, whoever has noted it.
func (i *Invitation) StatusAt(at time.Time) InvitationStatus {
	if i.Status == Pending && !at.Before(i.Expires) {
		return Expired
	}
	return i.Status
}

// Accept makes the invitation a user's. fault.Conflict: it is not pending any more.
func (i *Invitation) Accept(user UserID, at time.Time) error {
	if s := i.StatusAt(at); s != Pending {
		return ended(s)
	}
	i.Status, i.User, i.Accepted, i.Updated = Accepted, user, at, at
	return nil
}

// Revoke takes the invitation back; one that was taken back stays so.
// fault.Conflict: somebody has accepted it.
func (i *Invitation) Revoke(at time.Time) error {
	if i.Status == Accepted {
		return ended(Accepted)
	}
	if i.Status != Revoked {
		i.Status, i.Updated = Revoked, at
	}
	return nil
}

func ended(s InvitationStatus) error {
	return fault.New(fault.Conflict, "The invitation is %s, and stays so.", s).WithCode("invitation_ended")
}

// Guest is whom the audit log means by who was invited: nobody knows yet which user
// that will be.
func (i *Invitation) Guest() UserID { return UserID(i.ID) }

// NoInvitation is the fault of an invitation that is not there, or another's.
func NoInvitation() error {
	return fault.NotFoundf("invitation_not_found", "There is no such invitation.")
}

// Invited is the fault of an address that is invited already.
func Invited() error {
	return fault.New(fault.Conflict, "This address is invited already.").WithCode("invitation_exists").
		WithHint("Take the pending invitation back first, to give another role or more time.")
}
