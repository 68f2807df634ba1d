// Package tenancy says who acts, for whom, and what they may touch.
package tenancy

import (
	"time"

	"agentapi/domain/id"
)

type (
	orgKind     struct{}
	userKind    struct{}
	projectKind struct{}

	// OrgID identifies an organisation.
	OrgID = id.ID[orgKind]
	// UserID identifies a user within the deployment.
	UserID = id.ID[userKind]
	// ProjectID is the name of an organisation as OpenAI's one project of it.
	ProjectID = id.ID[projectKind]
)

func (orgKind) Prefix() string     { return "org" }
func (userKind) Prefix() string    { return "user" }
func (projectKind) Prefix() string { return "proj" }

// NewUserID makes a user's id for the moment at.
func NewUserID(at time.Time, rand [10]byte) UserID { return id.New[userKind](at, rand) }

// ParseOrgID reads an organisation's id in either spelling.
func ParseOrgID(s string) (OrgID, error) { return id.Parse[orgKind](s) }

// ParseUserID reads a user's id in either spelling.
func ParseUserID(s string) (UserID, error) { return id.Parse[userKind](s) }

// ProjectOf is the one project that an organisation is.
func ProjectOf(org OrgID) ProjectID { return ProjectID(org) }

// ParseProjectID reads a project's id in either spelling.
func ParseProjectID(s string) (ProjectID, error) { return id.Parse[projectKind](s) }
