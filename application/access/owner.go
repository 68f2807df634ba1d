package access

import (
	"context"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Spare refuses to shut out the last who owns an organisation. In a transaction others
// who would shut out an owner wait for its end. fault.Conflict, code last_owner.
func Spare(ctx context.Context, r ports.Roster, in tenancy.Realm, user tenancy.UserID) error {
	owners, err := r.Owners(ctx, in)
	if err == nil && len(owners) == 1 && owners[0] == user {
		return fault.New(fault.Conflict, "They are the last active owner of the organisation: make somebody else one first.").WithCode("last_owner")
	}
	return err
}
