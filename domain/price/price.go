package price

import (
	"math/bits"

	"agentapi/domain/chat"
	"agentapi/domain/fault"
)

// The bounds within which no cost overflows.
const (
	MaxPrice  = 1_000_000_000_000 // a million of the currency for a million tokens
	maxTokens = 1 << 40
)

// Tokens are what a model's tokens cost, each in Micro per million of them. The zero
// value is free.
type Tokens struct {
	Input      int64 // of the prompt
	Cached     int64 // of the prompt that were read from a cache
	CacheWrite int64 // of the prompt that were written to a cache
	Output     int64 // of the answer
	Reasoning  int64 // of the answer that the model thought with
}

// Check refuses prices that are out of bounds. fault.Invalid.
func (t Tokens) Check() error {
	for name, p := range map[string]int64{"input": t.Input, "cached": t.Cached, "cache_write": t.CacheWrite, "output": t.Output, "reasoning": t.Reasoning} {
		if p < 0 || p > MaxPrice {
			return fault.Invalidf(name, "out_of_range", "A price must be between 0 and %d.", int64(MaxPrice))
		}
	}
	return nil
}

// Cost is what the tokens of a call cost, rounded up once to a whole Micro. Tokens
// that are of two sorts are paid once, as the dearer-named sort: cached, written and
// reasoning tokens are not paid as input or output again. Counts that cannot be are
// taken as the nearest that can.
func (t Tokens) Cost(u chat.Usage) Micro {
	prompt, answer := bound(u.Prompt, maxTokens), bound(u.Completion, maxTokens)
	cached := bound(u.Cached, prompt)
	written := bound(u.CacheWrite, prompt-cached)
	thought := bound(u.Reasoning, answer)
	var sum wide
	sum.add(prompt-cached-written, t.Input)
	sum.add(cached, t.Cached)
	sum.add(written, t.CacheWrite)
	sum.add(answer-thought, t.Output)
	sum.add(thought, t.Reasoning)
	return sum.perMillion()
}

// AtMost is what a call costs at most whose prompt and answer have so many tokens.
func (t Tokens) AtMost(prompt, answer int) Micro {
	var sum wide
	sum.add(bound(prompt, maxTokens), max(t.Input, t.Cached, t.CacheWrite))
	sum.add(bound(answer, maxTokens), max(t.Output, t.Reasoning))
	return sum.perMillion()
}

func bound(n int, most uint64) uint64 { return min(uint64(max(n, 0)), most) }

// wide is a sum of products, which 64 bits do not hold.
type wide struct{ hi, lo uint64 }

func (w *wide) add(tokens uint64, each int64) {
	hi, lo := bits.Mul64(tokens, uint64(max(each, 0)))
	var carry uint64
	w.lo, carry = bits.Add64(w.lo, lo, 0)
	w.hi, _ = bits.Add64(w.hi, hi, carry)
}

// perMillion divides by a million, and rounds up.
func (w *wide) perMillion() Micro {
	const million = 1_000_000
	lo, carry := bits.Add64(w.lo, million-1, 0)
	hi := w.hi + carry
	if hi >= million {
		return Most
	}
	q, _ := bits.Div64(hi, lo, million)
	if q > uint64(Most) {
		return Most
	}
	return Micro(q)
}
