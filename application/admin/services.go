package admin

import (
	"context"

	"agentapi/domain/audit"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// firstKey is what the key is called that a service account is made with.
const firstKey = "Secret Key"

// CreateService makes a service account of an organisation, with a key where one is
// wanted, whose credential is given this once, and not for a repetition.
// fault.Conflict: there is an account of this name.
func (s *Service) CreateService(ctx context.Context, who tenancy.Principal, org tenancy.OrgID, name string, wanted bool, o Once) (*tenancy.Member, *tenancy.APIKey, string, error) {
	in, err := who.Realm(org, tenancy.WriteKeys)
	if err != nil {
		return nil, nil, "", err
	}
	at := s.Now()
	account, err := service(org, name, at)
	if err != nil {
		return nil, nil, "", err
	}
	user := account.User.ID
	n := on(who, audit.MemberAdded, in, user, map[string]string{"role": string(tenancy.Service)})
	var (
		k          *tenancy.APIKey
		credential string
	)
	if wanted {
		if k, credential, err = s.newKey(who, in, NewKey{Name: firstKey, Role: tenancy.Service}, user, at); err != nil {
			return nil, nil, "", err
		}
		n = within(org, note(who, audit.KeyCreated, k.ID.String(), map[string]string{"role": string(k.Role), "service": name}))
	}
	made, err := s.create(ctx, who, n, o, func(ctx context.Context, d ports.Directory) (string, error) {
		if _, err := d.Org(ctx, org); err != nil {
			return "", err
		}
		if _, err := d.Member(ctx, in, user); !fault.Is(err, fault.NotFound) {
			if err == nil {
				err = fault.New(fault.Conflict, "There is a service account of this name already: %s.", user).WithCode("service_account_exists")
			}
			return "", err
		}
		if err := d.Enrol(ctx, account); err != nil || k == nil {
			return user.String(), err
		}
		return k.ID.String(), d.CreateKey(ctx, in, k)
	})
	if err != nil || made == "" {
		return account.Member, k, credential, err
	}
	m, err := s.Storage.Directory().Member(ctx, in, user)
	if err != nil || k == nil {
		return m, nil, "", err
	}
	k, err = s.made(ctx, in, made)
	return m, k, "", err
}
