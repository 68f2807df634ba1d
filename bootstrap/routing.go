package bootstrap

import (
	"math/rand/v2"
	"strings"

	"go.uber.org/fx"

	"agentapi/application/routing"
	"agentapi/bootstrap/driver"
	"agentapi/configs"
	"agentapi/domain/agent"
	"agentapi/ports"
)

func newRouting(c *configs.Config, cache ports.Cache, s Setting, life fx.Lifecycle) *routing.Service {
	p := routing.Params{Now: now, Random: rand.Float64, Instance: s.Instance, Retry: routing.Retry(c.Routing.Retry)}
	if c.Cache.Driver != "memory" { // which no other server has
		p.Cache = cache
	}
	svc := routing.New(p)
	driver.Hook(life, svc)
	return svc
}

// aliases gives who answers to the configured names, and how they are chosen among.
func aliases(c *configs.Config) (map[string][]agent.Candidate, map[string]agent.Plan) {
	who, plans := make(map[string][]agent.Candidate), make(map[string]agent.Plan)
	for name, a := range c.Routing.Aliases {
		plan := agent.Plan{Strategy: agent.Strategy(a.Strategy), Weights: make(map[agent.Candidate]int), Hedge: agent.Hedge(a.Hedge)}
		for _, t := range a.Targets {
			who[name] = append(who[name], target(t))
		}
		for t, w := range a.Weights {
			plan.Weights[target(t)] = w
		}
		for _, b := range a.Sticky {
			plan.Sticky = append(plan.Sticky, agent.Bond(b))
		}
		plans[name] = plan
	}
	return who, plans
}

// target reads agent/model.
func target(s string) agent.Candidate {
	name, model, _ := strings.Cut(s, "/")
	return agent.Candidate{Agent: agent.Name(name), Model: model}
}
