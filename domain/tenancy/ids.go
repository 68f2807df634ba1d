// Package tenancy says who acts, for whom, and what they may touch.
package tenancy

import "agentapi/domain/id"

type (
	orgKind  struct{}
	userKind struct{}

	// OrgID identifies an organisation.
	OrgID = id.ID[orgKind]
	// UserID identifies a user within the deployment.
	UserID = id.ID[userKind]
)

func (orgKind) Prefix() string  { return "org" }
func (userKind) Prefix() string { return "user" }
