package bootstrap

import (
	"context"
	"crypto/rand"

	"agentapi/application/access"
	"agentapi/application/admin"
	"agentapi/application/budgets"
	"agentapi/application/limits"
	"agentapi/application/trail"
	"agentapi/application/upkeep"
	"agentapi/configs"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

func newAdmin(c *configs.Config, storage ports.Storage, rec *trail.Recorder, log *trail.Service, data *upkeep.Service, a *access.Service, pepper tenancy.Pepper, money *budgets.Service, lim *limits.Service, s Setting) (*admin.Service, error) {
	kept, err := policies(c)
	if err != nil {
		return nil, err
	}
	p := admin.Params{
		Storage: storage, Audit: rec, Access: a, Pepper: pepper, Now: now, Random: func(b []byte) { rand.Read(b) },
		Instance: s.Instance, Policies: kept, Data: data,
	}
	if money != nil {
		p.Budgets = money
	}
	if lim != nil {
		p.Limits = lim
	}
	if log != nil {
		p.Trail = log
	}
	return admin.New(p), nil
}

// Administer runs do with the use cases of administration on the configured
// storage, and nothing else of the application. No keys can be made.
func Administer(ctx context.Context, c *configs.Config, s Setting, do func(*admin.Service) error) error {
	return Stored(ctx, c, s, func(storage ports.Storage) error {
		svc, err := newAdmin(c, storage, Recorder(c, storage, s), nil, nil, access.New(access.Params{Now: now}), nil, nil, nil, s)
		if err != nil {
			return err
		}
		return do(svc)
	})
}
