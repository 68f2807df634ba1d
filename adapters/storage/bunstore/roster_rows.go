package bunstore

import (
	"time"

	"github.com/uptrace/bun"

	"agentapi/domain/roster"
	"agentapi/domain/session"
	"agentapi/domain/tenancy"
)

type personRow struct {
	bun.BaseModel `bun:"table:scim_users,alias:p"`

	OrgID      string    `bun:"org_id,pk"`
	UserID     string    `bun:"user_id,pk"`
	External   string    `bun:"external_id"`
	UserName   string    `bun:"user_name"`
	NameKey    string    `bun:"name_key"`
	Given      string    `bun:"given"`
	Family     string    `bun:"family"`
	Formatted  string    `bun:"formatted"`
	Display    string    `bun:"display"`
	Email      string    `bun:"email"`
	EmailKey   string    `bun:"email_key"`
	Version    int       `bun:"version"`
	CreatedAt  time.Time `bun:"created_at"`
	UpdatedAt  time.Time `bun:"updated_at"`
	Status     string    `bun:"status,scanonly"` // of the membership
	Membership int       `bun:"membership,scanonly"`
}

func rowOfPerson(p *roster.Person) *personRow {
	return &personRow{
		OrgID: p.Org.UUID(), UserID: p.User.UUID(), External: storable(p.External), UserName: storable(p.UserName), NameKey: roster.Fold(storable(p.UserName)),
		Given: storable(p.Given), Family: storable(p.Family), Formatted: storable(p.Formatted), Display: storable(p.Display),
		Email: storable(p.Email), EmailKey: roster.Fold(storable(p.Email)), Version: p.Version, CreatedAt: session.Moment(p.Created), UpdatedAt: session.Moment(p.Updated),
	}
}

func (r *personRow) person() (*roster.Person, error) {
	org, err := tenancy.ParseOrgID(r.OrgID)
	if err != nil {
		return nil, corrupt("person", err)
	}
	user, err := tenancy.ParseUserID(r.UserID)
	if err != nil {
		return nil, corrupt("person", err)
	}
	return &roster.Person{
		Org: org, User: user, External: r.External, UserName: r.UserName, Given: r.Given, Family: r.Family, Formatted: r.Formatted, Display: r.Display,
		Email: r.Email, Version: r.Version, Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(), Active: r.Status == string(tenancy.Active), Membership: r.Membership,
	}, nil
}

type groupRow struct {
	bun.BaseModel `bun:"table:scim_groups,alias:g"`

	OrgID     string    `bun:"org_id,pk"`
	ID        string    `bun:"id,pk"`
	External  string    `bun:"external_id"`
	Name      string    `bun:"name"`
	NameKey   string    `bun:"name_key"`
	Version   int       `bun:"version"`
	CreatedAt time.Time `bun:"created_at"`
	UpdatedAt time.Time `bun:"updated_at"`
}

func rowOfGroup(g *roster.Group) *groupRow {
	return &groupRow{
		OrgID: g.Org.UUID(), ID: g.ID.UUID(), External: storable(g.External), Name: storable(g.Name), NameKey: roster.Fold(storable(g.Name)), Version: g.Version,
		CreatedAt: session.Moment(g.Created), UpdatedAt: session.Moment(g.Updated),
	}
}

func (r *groupRow) group() (*roster.Group, error) {
	org, err := tenancy.ParseOrgID(r.OrgID)
	if err != nil {
		return nil, corrupt("group", err)
	}
	id, err := roster.ParseGroupID(r.ID)
	if err != nil {
		return nil, corrupt("group", err)
	}
	return &roster.Group{
		Org: org, ID: id, External: r.External, Name: r.Name, Version: r.Version, Created: r.CreatedAt.UTC(), Updated: r.UpdatedAt.UTC(),
	}, nil
}

type enlistedRow struct {
	bun.BaseModel `bun:"table:scim_members,alias:e"`

	OrgID   string `bun:"org_id,pk"`
	GroupID string `bun:"group_id,pk"`
	UserID  string `bun:"user_id,pk"`
}
