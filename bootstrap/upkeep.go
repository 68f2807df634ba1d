package bootstrap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"go.uber.org/fx"

	"agentapi/application/access"
	"agentapi/application/trail"
	"agentapi/application/upkeep"
	"agentapi/configs"
	"agentapi/domain/retention"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

func newUpkeep(c *configs.Config, storage ports.Storage, obs ports.Observer, rec *trail.Recorder, a *access.Service, s Setting) (*upkeep.Service, error) {
	kept, err := policies(c)
	if err != nil {
		return nil, err
	}
	return upkeep.New(upkeep.Params{
		Storage: storage, Policies: kept, Every: c.Retention.Every, Instance: s.Instance, Observer: obs, Now: now, Audit: rec, Erased: a.Forget,
		NewUser: func() tenancy.UserID {
			var b [10]byte
			rand.Read(b[:])
			return tenancy.NewUserID(now(), b)
		},
	}), nil
}

// policies are how long data is kept by the configuration.
func policies(c *configs.Config) (retention.Policies, error) {
	policy := func(k configs.Kept) retention.Policy { return retention.Policy{Sessions: k.Sessions, Usage: k.Usage} }
	p := retention.Policies{Policy: policy(c.Retention.Kept), AgentHealth: c.Retention.AgentHealth, Orgs: make(map[tenancy.OrgID]retention.Policy)}
	for name, kept := range c.Retention.Orgs {
		org, err := access.Org(name)
		if err != nil {
			return p, fmt.Errorf("retention.orgs: %w", err)
		}
		p.Orgs[org] = policy(kept)
	}
	return p, nil
}

// Upkeep runs do with the use cases of upkeep on the configured storage, and
// nothing else of the application.
func Upkeep(ctx context.Context, c *configs.Config, s Setting, do func(*upkeep.Service) error) error {
	return Stored(ctx, c, s, func(storage ports.Storage) error {
		svc, err := newUpkeep(c, storage, ports.NopObserver{}, Recorder(c, storage, s), access.New(access.Params{Now: now}), s)
		if err != nil {
			return err
		}
		return do(svc)
	})
}

// Stored runs do with the configured storage, and nothing else of the application.
func Stored(ctx context.Context, c *configs.Config, s Setting, do func(ports.Storage) error) (err error) {
	var storage ports.Storage
	app := fx.New(
		fx.Supply(c, s), fx.NopLogger, fx.StartTimeout(c.Server.StartTimeout), fx.StopTimeout(c.Server.StopTimeout),
		Storage, fx.Populate(&storage),
	)
	if err := app.Err(); err != nil {
		return Cause(err)
	}
	if err := app.Start(ctx); err != nil {
		return Cause(err)
	}
	defer func() { err = errors.Join(err, app.Stop(context.WithoutCancel(ctx))) }()
	return do(storage)
}
