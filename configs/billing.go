package configs

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Billing configures what answers cost, and how budgets set money aside for them.
type Billing struct {
	Currency string           `yaml:"currency" doc:"three lower-case letters; all amounts are in millionths of it"`
	Prices   map[string]Price `yaml:"prices" doc:"by agent/model; a name that ends in * is a prefix, and the longest counts; what none names is free"`
	Answer   int              `yaml:"answer" doc:"how many tokens an answer is taken to have, where a budget bounds it and its request does not say"`
	Hold     time.Duration    `yaml:"hold" doc:"how long a budget sets money aside for a request whose server has died; longer than any runs"`
}

// Price is what a model's tokens cost, in millionths of the currency for a million.
type Price struct {
	Input      int64  `yaml:"input" doc:"of the prompt"`
	Cached     *int64 `yaml:"cached" doc:"of the prompt, read from a cache; absent: as input"`
	CacheWrite *int64 `yaml:"cache_write" doc:"of the prompt, written to a cache; absent: as input"`
	Output     int64  `yaml:"output" doc:"of the answer"`
	Reasoning  *int64 `yaml:"reasoning" doc:"of the answer, thought; absent: as output"`
}

func (b *Billing) validate(bad func(path, format string, args ...any)) {
	if len(b.Currency) != 3 || strings.ToLower(b.Currency) != b.Currency {
		bad("billing.currency", "must be three lower-case letters, such as usd")
	}
	if b.Answer < 1 {
		bad("billing.answer", "must be at least 1")
	}
	if b.Hold < time.Second {
		bad("billing.hold", "must be at least 1s")
	}
	for _, name := range slices.Sorted(maps.Keys(b.Prices)) {
		p := b.Prices[name]
		for of, n := range map[string]*int64{"input": &p.Input, "cached": p.Cached, "cache_write": p.CacheWrite, "output": &p.Output, "reasoning": p.Reasoning} {
			if n != nil && (*n < 0 || *n > maxPrice) {
				bad("billing.prices."+name+"."+of, "must be between 0 and %d", int64(maxPrice))
			}
		}
	}
}

const maxPrice = 1_000_000_000_000
