package bootstrap

import (
	"context"
	"crypto/rand"
	"slices"

	"go.uber.org/fx"

	"agentapi/adapters/identity/apikey"
	"agentapi/adapters/identity/oidc"
	"agentapi/adapters/tokenizer/tiktoken"
	"agentapi/application/access"
	"agentapi/application/budgets"
	"agentapi/application/catalog"
	"agentapi/application/completion"
	"agentapi/application/conversations"
	"agentapi/application/limits"
	"agentapi/application/outage"
	"agentapi/application/reports"
	"agentapi/application/routing"
	"agentapi/application/tokens"
	"agentapi/application/trail"
	"agentapi/application/upkeep"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/domain/agent"
	"agentapi/domain/quota"
	"agentapi/domain/tenancy"
	"agentapi/ports"
)

// Application is the use cases.
var Application = fx.Module("application",
	fx.Provide(
		newAccess,
		newAdmin,
		newProvision,
		newTrail,
		newCatalog,
		newConversations,
		newLimits,
		newRouting,
		newCompletion,
		newBudgets,
		func() *tokens.Counter { return &tokens.Counter{Tokenizer: tiktoken.New()} },
		func(c *configs.Config, storage ports.Storage) *reports.Service {
			return &reports.Service{Storage: storage, Currency: c.Billing.Currency, Now: now}
		},
		newVitals,
		newUpkeep,
		newOperations,
		newReloader,
	),
	fx.Invoke(func(*Reloader) {}),
	fx.Invoke(func(life fx.Lifecycle, svc *upkeep.Service) {
		background(life, svc.Run)
		background(life, svc.Work)
	}, revoke, follow),
)

func newAccess(c *configs.Config, chain []ports.Authenticator, keys *apikey.Identity, storage ports.Storage, cache ports.Cache, bulletin ports.Bulletin, pepper tenancy.Pepper, rec *trail.Recorder) *access.Service {
	for _, a := range chain {
		if login, ok := a.(*oidc.Identity); ok {
			login.Share(cache, pepper.Seal)
		}
	}
	keys.Use(apikey.Params{Directory: storage.Directory(), Pepper: pepper, Now: now})
	p := access.Params{
		Chain: chain, Storage: storage, Audit: rec, Now: now, Bulletin: bulletin,
		Strangers: access.Strangers{RefuseOrgs: c.Identity.Strangers.Orgs == "refuse", RefuseUsers: c.Identity.Strangers.Users == "refuse"},
	}
	for _, a := range c.Identity.PlatformAdmins {
		p.Admins = append(p.Admins, access.Admin(a))
	}
	return access.New(p)
}

func newCatalog(c *configs.Config, agents map[string]ports.Agent, cache ports.Cache) (*catalog.Current, error) {
	s, err := catalogOf(c, agents, cache)
	if err != nil {
		return nil, err
	}
	return catalog.Begin(s), nil
}

func catalogOf(c *configs.Config, agents map[string]ports.Agent, cache ports.Cache) (*catalog.Service, error) {
	p := catalog.Params{Cache: cache, Now: now, Strict: c.Compat.UnsupportedParams == "reject"}
	for _, name := range c.AgentNames() {
		e := catalog.Entry{Name: agent.Name(name), Agent: agents[name]}
		for _, m := range c.Agents[name].Models {
			e.Models = append(e.Models, agent.Model{ID: m.ID, Context: m.Context, Output: m.Output})
		}
		p.Entries = append(p.Entries, e)
	}
	for _, name := range c.Routing.Default {
		p.Routing.Default = append(p.Routing.Default, agent.Name(name))
	}
	if len(p.Routing.Default) == 0 {
		p.Routing.Default = byPurpose(c)
	}
	p.Routing.Aliases, p.Routing.Plans = aliases(c)
	return catalog.New(p)
}

// byPurpose is all agents by name, those that only demonstrate last.
func byPurpose(c *configs.Config) []agent.Name {
	var real, shows []agent.Name
	for _, name := range c.AgentNames() {
		if c.Agents[name].Driver == "demo" {
			shows = append(shows, agent.Name(name))
		} else {
			real = append(real, agent.Name(name))
		}
	}
	return slices.Concat(real, shows)
}

func newCompletion(c *configs.Config, cat *catalog.Current, storage ports.Storage, cache Shared, pepper tenancy.Pepper, obs ports.Observer, rec *trail.Recorder, lim *limits.Service, money *budgets.Service, ways *routing.Service, away *outage.Registry, counter *tokens.Counter, s Setting, life fx.Lifecycle) *completion.Service {
	p := completion.Params{
		Catalog: cat, Storage: storage, Near: c.Storage.Driver == "memory", Observer: obs, Now: now, Random: func(b []byte) { rand.Read(b) }, Instance: s.Instance, Audit: rec, Limits: lim, Linger: c.Resume.Window, Budgets: money, Refuse: away.Refusing, Routing: ways, Tokens: counter,
	}
	if c.Resume.Window > 0 && cache.Beyond() {
		p.Tapes = &completion.Tapes{Cache: cache, Box: pepper.Box()}
	}
	if c.Compat.DedupeSDKRetries {
		p.Retries = cache
	}
	svc := completion.New(p)
	driver.Hook(life, svc)
	return svc
}

func newLimits(c *configs.Config, shared Shared, limiter ports.Limiter, storage ports.Storage, obs ports.Observer, life fx.Lifecycle) *limits.Service {
	svc := limits.New(limits.Params{Limiter: limiter, Observer: obs, Storage: storage, Allowed: allowances(c), Near: shared.link == nil})
	driver.Hook(life, svc)
	return svc
}

// allowances are the limits by the configuration.
func allowances(c *configs.Config) limits.Allowances {
	a := limits.Allowances{
		Platform: quota.Limits(c.Limits.Platform), Org: quota.Limits(c.Limits.Organization),
		User: quota.Limits(c.Limits.User), Key: quota.Limits(c.Limits.APIKey), Models: make(map[string]quota.Limits),
	}
	for name, of := range c.Limits.Models {
		a.Models[name] = quota.Limits(of)
	}
	return a
}

func newConversations(storage ports.Storage, rec *trail.Recorder, s Setting) *conversations.Service {
	return conversations.New(conversations.Params{
		Storage: storage, Now: now, Random: func(b []byte) { rand.Read(b) }, Instance: s.Instance, Audit: rec,
	})
}

// background runs something from the start on, and joins it at the stop.
func background(life fx.Lifecycle, run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	life.Append(fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				defer close(done)
				run(ctx)
			}()
			return nil
		},
		OnStop: func(stop context.Context) error {
			cancel()
			select {
			case <-done:
			case <-stop.Done():
			}
			return nil
		},
	})
}
