package bootstrap

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/fx"
	"go.uber.org/zap"

	"agentapi/adapters/telemetry/prometheus"
	"agentapi/application/budgets"
	"agentapi/application/catalog"
	"agentapi/application/limits"
	"agentapi/application/operations"
	"agentapi/application/routing"
	"agentapi/application/upkeep"
	"agentapi/application/vitals"
	"agentapi/configs"
	"agentapi/domain/fault"
	"agentapi/ports"
)

// lively are the parts of the configuration that can change while the server runs. All
// else takes a restart.
var lively = []string{
	"agents", "routing", "limits.platform", "limits.organization", "limits.user", "limits.api_key", "limits.models", "billing.prices",
	"retention.sessions", "retention.usage", "retention.agent_health", "retention.orgs", "log.level",
}

// live tells whether a setting can change while the server runs.
func live(setting string) bool {
	return slices.ContainsFunc(lively, func(path string) bool { return configs.Under(setting, path) })
}

// reloadLimit bounds the start of agents that are new.
const reloadLimit = 15 * time.Second

// Reloader has another configuration hold while the server runs. It is safe for
// concurrent use.
type Reloader struct {
	p     reloaded
	start *configs.Config // whose settings hold that take a restart

	mu  sync.Mutex
	now *configs.Config // whose other settings hold
}

// reloaded is what has settings that can change.
type reloaded struct {
	fx.In

	Setting    Setting
	Fleet      *fleet
	Catalog    *catalog.Current
	Cache      ports.Cache
	Vitals     *vitals.Service
	Operations *operations.Service
	Limits     *limits.Service
	Budgets    *budgets.Service
	Routing    *routing.Service
	Upkeep     *upkeep.Service
	Log        *zap.Logger
	Metrics    *prometheus.Metrics
}

func newReloader(c *configs.Config, p reloaded) *Reloader {
	r := &Reloader{p: p, start: c, now: c}
	if p.Setting.Load != nil {
		p.Operations.Reload = r.Reload
	}
	return r
}

// Reload reads the configuration again. Either all that can change holds as it says, for
// requests that come from now on, or, with an error, nothing has changed:
// fault.Invalid. Both are logged.
func (r *Reloader) Reload(ctx context.Context) (operations.Reloaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done, err := r.reload(ctx)
	if r.p.Metrics != nil {
		r.p.Metrics.Reloaded(now(), err)
	}
	if err != nil {
		r.p.Log.Error("the configuration stays as it was: what is there now has errors", zap.Error(err))
		return operations.Reloaded{}, fault.Wrap(fault.Invalid, err, "The configuration stays as it was: %v", err).WithCode("invalid_configuration").
			WithHint("agentapi config validate checks it without changing anything.")
	}
	r.p.Log.Info("the configuration was read again", zap.Strings("added", done.Added), zap.Strings("removed", done.Removed), zap.Strings("changed", done.Changed), zap.Strings("takes_a_restart", done.Restart))
	return done, nil
}

func (r *Reloader) reload(ctx context.Context) (done operations.Reloaded, err error) {
	c, err := r.p.Setting.Load()
	if err != nil {
		return done, err
	}
	done.Added, done.Removed = strangers(c, r.now), strangers(r.now, c)
	for _, path := range c.Differs(r.now) {
		if live(path) && !slices.ContainsFunc(slices.Concat(done.Added, done.Removed), func(a string) bool { return configs.Under(path, a) }) {
			done.Changed = append(done.Changed, path)
		}
	}
	for _, path := range c.Differs(r.start) {
		if !live(path) {
			done.Restart = append(done.Restart, path)
		}
	}
	all := done.All()
	if len(all) == 0 {
		return done, nil
	}
	kept, err := policies(c)
	if err != nil {
		return done, err
	}
	within, cancel := context.WithTimeout(ctx, reloadLimit)
	defer cancel()
	crew, fresh, err := r.p.Fleet.prepare(within, c, func(name string) bool {
		return slices.ContainsFunc(all, func(path string) bool { return configs.Under(path, "agents."+name) })
	})
	if err != nil {
		return done, err
	}
	next, err := catalogOf(c, agentsOf(crew), r.p.Cache)
	if err == nil && r.p.Setting.Level != nil {
		err = r.p.Setting.Level(c.Log.Level)
	}
	if err != nil {
		_ = stopAll(within, fresh) // they have done nothing
		return done, err
	}
	// What was said of its models by an agent that stays is known.
	next.Learn(r.p.Catalog.Now())
	r.p.Vitals.Meet(next, watchedBy(c, next))
	idle := r.p.Catalog.Replace(next)
	r.p.Fleet.replace(crew, idle)
	r.p.Limits.Allow(allowances(c))
	r.p.Routing.Retune(routing.Retry(c.Routing.Retry))
	r.p.Budgets.Reprice(prices(c))
	r.p.Upkeep.Govern(kept)
	r.p.Operations.Describe(described(r.start, c))
	r.now = c
	return done, nil
}

// strangers are the agents of a configuration, by path, that are not in another.
func strangers(c, other *configs.Config) (out []string) {
	for _, name := range c.AgentNames() {
		if _, known := other.Agents[name]; !known {
			out = append(out, "agents."+name)
		}
	}
	return out
}
