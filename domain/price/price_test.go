package price_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"agentapi/domain/agent"
	"agentapi/domain/chat"
	"agentapi/domain/price"
)

func TestEachSortOfTokenIsPaidOnce(t *testing.T) {
	t.Parallel()
	p := price.Tokens{Input: 2_500_000, Cached: 1_250_000, CacheWrite: 3_125_000, Output: 10_000_000, Reasoning: 12_000_000}
	for name, c := range map[string]struct {
		used chat.Usage
		want price.Micro
	}{
		"nothing":                     {chat.Usage{}, 0},
		"a prompt":                    {chat.Usage{Prompt: 1000}, 2500},
		"a prompt from the cache":     {chat.Usage{Prompt: 1000, Cached: 1000}, 1250},
		"a prompt written to a cache": {chat.Usage{Prompt: 1000, CacheWrite: 400}, 600*25/10 + 400*3125/1000},
		"an answer":                   {chat.Usage{Completion: 10}, 100},
		"an answer that was thought":  {chat.Usage{Completion: 10, Reasoning: 4}, 6*10 + 4*12},
		"less than a millionth":       {chat.Usage{Prompt: 1, Cached: 1}, 2},
		"more cached than was sent":   {chat.Usage{Prompt: 10, Cached: 99}, 13},
		"numbers that cannot be":      {chat.Usage{Prompt: -1, Completion: -5, Cached: -2}, 0},
		"all of it, rounded up once":  {chat.Usage{Prompt: 3, Cached: 1, Completion: 1}, 17},
	} {
		if got := p.Cost(c.used); got != c.want {
			t.Errorf("%s costs %d, not %d", name, got, c.want)
		}
	}
}

func TestCostsAreExactWhateverTheNumbers(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	any64 := func() int64 { return random.Int64N(price.MaxPrice+1) >> random.IntN(40) }
	for range 20_000 {
		p := price.Tokens{Input: any64(), Cached: any64(), CacheWrite: any64(), Output: any64(), Reasoning: any64()}
		u := chat.Usage{Prompt: random.IntN(1<<40) >> random.IntN(40), Completion: random.IntN(1<<40) >> random.IntN(40)}
		u.Cached = random.IntN(u.Prompt + 1)
		u.CacheWrite = random.IntN(u.Prompt - u.Cached + 1)
		u.Reasoning = random.IntN(u.Completion + 1)
		sum := new(big.Int)
		for _, part := range [][2]int64{
			{int64(u.Prompt - u.Cached - u.CacheWrite), p.Input}, {int64(u.Cached), p.Cached}, {int64(u.CacheWrite), p.CacheWrite},
			{int64(u.Completion - u.Reasoning), p.Output}, {int64(u.Reasoning), p.Reasoning},
		} {
			sum.Add(sum, new(big.Int).Mul(big.NewInt(part[0]), big.NewInt(part[1])))
		}
		want, left := new(big.Int).DivMod(sum, big.NewInt(1_000_000), new(big.Int))
		if left.Sign() > 0 {
			want.Add(want, big.NewInt(1))
		}
		got := p.Cost(u)
		if !want.IsInt64() || int64(got) != want.Int64() {
			t.Fatalf("%+v of %+v costs %d, not %v", u, p, got, want)
		}
		if most := p.AtMost(u.Prompt, u.Completion); most < got {
			t.Fatalf("%+v of %+v costs %d, and at most %d", u, p, got, most)
		}
	}
}

func TestSumsNeverWrapAround(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]price.Micro{{1, 2, 3}, {price.Most, 1, price.Most}, {price.Most, price.Most, price.Most}, {5, -7, -2}, {-price.Most, -5, -price.Most}} {
		if got := c[0].Plus(c[1]); got != c[2] {
			t.Errorf("%d and %d are %d", c[0], c[1], got)
		}
	}
	if got := (price.Tokens{Input: price.MaxPrice, Output: price.MaxPrice}).AtMost(math.MaxInt, math.MaxInt); got <= 0 {
		t.Errorf("the most that can be is %d", got)
	}
}

func TestTheNearestNameHasThePrice(t *testing.T) {
	t.Parallel()
	l := &price.List{Models: map[string]price.Tokens{"*": {Input: 1}, "a/*": {Input: 2}, "a/m*": {Input: 3}, "a/m1": {Input: 4}}}
	for name, want := range map[agent.Candidate]int64{{Agent: "b", Model: "x"}: 1, {Agent: "a", Model: "x"}: 2, {Agent: "a", Model: "m2"}: 3, {Agent: "a", Model: "m1"}: 4} {
		if got := l.Of(name).Input; got != want {
			t.Errorf("%s costs %d", name, got)
		}
	}
	if got := (&price.List{Models: map[string]price.Tokens{"a/m": {Input: 9}}}).Of(agent.Candidate{Agent: "b", Model: "m"}); got != (price.Tokens{}) {
		t.Errorf("a model without a price costs %+v", got)
	}
	if got := l.AtMost([]agent.Candidate{{Agent: "a", Model: "m1"}, {Agent: "b", Model: "x"}}, 2_000_000, 0); got != 8 {
		t.Errorf("the dearest of two costs %d", got)
	}
	if err := (price.Tokens{Output: -1}).Check(); err == nil {
		t.Error("a price below nothing is taken")
	}
}
