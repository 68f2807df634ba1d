package admin

import (
	"context"

	"agentapi/application/access"
	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/page"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Orgs lists organisations.
func (s *Service) Orgs(ctx context.Context, who tenancy.Principal, f tenancy.OrgFilter, q page.Query) (page.Of[*tenancy.Org], error) {
	if err := who.May(tenancy.ReadPlatform); err != nil {
		return page.Of[*tenancy.Org]{}, err
	}
	return paged(q, func(q page.Query) (page.Of[*tenancy.Org], error) { return s.Storage.Directory().Orgs(ctx, f, q) })
}

// Org gives an organisation.
func (s *Service) Org(ctx context.Context, who tenancy.Principal, org tenancy.OrgID) (*tenancy.Org, error) {
	in, err := who.Realm(org, tenancy.ReadOrg)
	if err != nil {
		return nil, err
	}
	return s.Storage.Directory().Org(ctx, in.Org())
}

// CreateOrg makes an organisation known before anybody of it has come: its name is
// the issuer's. fault.Conflict: it is known.
func (s *Service) CreateOrg(ctx context.Context, who tenancy.Principal, issuer, name, title string, o Once) (*tenancy.Org, error) {
	if err := who.May(tenancy.WritePlatform); err != nil {
		return nil, err
	}
	if title == "" {
		title = name
	}
	for param, text := range map[string]string{"issuer": issuer, "name": title, "external_id": name} {
		if err := tenancy.ValidTitle(param, text); err != nil {
			return nil, err
		}
	}
	at := s.Now()
	v := &tenancy.Org{ID: access.OrgOf(issuer, name), Issuer: issuer, Name: name, Title: title, Status: tenancy.Active, Version: 1, Created: at, Updated: at}
	made, err := s.create(ctx, who, note(who, audit.OrgCreated, v.ID.String(), nil), o, func(ctx context.Context, d ports.Directory) (string, error) {
		if _, err := d.Org(ctx, v.ID); !fault.Is(err, fault.NotFound) {
			if err == nil {
				err = fault.New(fault.Conflict, "There is this organisation already: %s.", v.ID).WithCode("org_exists")
			}
			return "", err
		}
		return v.ID.String(), d.Enrol(ctx, tenancy.Standing{Org: v})
	})
	if err != nil || made == "" {
		return v, err
	}
	return s.Storage.Directory().Org(ctx, v.ID)
}

// EditOrg changes an organisation: its title who may change it, its status who may
// change the platform. Nobody shuts out their own.
func (s *Service) EditOrg(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, versions []int, e tenancy.Edit) (*tenancy.Org, error) {
	in, err := who.Realm(org, tenancy.WriteOrg)
	if err == nil && e.Status != nil {
		if err = who.May(tenancy.WritePlatform); err == nil && org == who.Org() && *e.Status != tenancy.Active {
			err = fault.New(fault.Conflict, "This is your own organisation: you would shut yourself out.").WithCode("own_org")
		}
	}
	if err != nil {
		return nil, err
	}
	var after tenancy.Org
	err = s.change(ctx, within(in.Org(), note(who, audit.OrgChanged, org.String(), map[string]string{"status": text(e.Status)})), func(ctx context.Context, d ports.Directory) error {
		return d.UpdateOrg(ctx, in.Org(), func(o *tenancy.Org) error {
			if err := expect(versions, o.Version); err != nil {
				return err
			}
			if err := o.Apply(e, s.Now()); err != nil {
				return err
			}
			after = *o
			after.Version++
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return &after, nil
}
