package bootstrap

import (
	"crypto/rand"

	"agentapi/application/budgets"
	"agentapi/application/tokens"
	"agentapi/configs"
	"agentapi/domain/price"
	"agentapi/ports"
)

func newBudgets(c *configs.Config, storage ports.Storage, bulletin ports.Bulletin, counter *tokens.Counter) *budgets.Service {
	return budgets.New(budgets.Params{
		Storage: storage, Bulletin: bulletin, Prices: prices(c), Answer: c.Billing.Answer, Hold: c.Billing.Hold, Now: now, Random: func(b []byte) { rand.Read(b) }, Tokens: counter,
	})
}

// prices are what answers cost by the configuration.
func prices(c *configs.Config) *price.List {
	list := &price.List{Currency: c.Billing.Currency, Models: make(map[string]price.Tokens)}
	for name, p := range c.Billing.Prices {
		list.Models[name] = price.Tokens{
			Input: p.Input, Cached: or(p.Cached, p.Input), CacheWrite: or(p.CacheWrite, p.Input), Output: p.Output, Reasoning: or(p.Reasoning, p.Output),
		}
	}
	return list
}

// or is a price, or another where it is not said.
func or(p *int64, other int64) int64 {
	if p == nil {
		return other
	}
	return *p
}
