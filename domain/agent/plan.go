package agent

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"
)

// Strategy is how the first of several candidates is chosen.
type Strategy string

// The strategies. The zero Strategy is Ordered.
const (
	Ordered      Strategy = "ordered"       // the first that is listed
	Weighted     Strategy = "weighted"      // by chance, as their weights are
	LeastLatency Strategy = "least_latency" // the one whose answers begin the soonest
)

// Strategies are all of them.
func Strategies() []Strategy { return []Strategy{Ordered, Weighted, LeastLatency} }

// Bond is what requests have in common that go to the same candidate.
type Bond string

// The bonds.
const (
	Conversation   Bond = "session"
	PromptCacheKey Bond = "prompt_cache_key"
	Caller         Bond = "user"
)

// Bonds are all of them.
func Bonds() []Bond { return []Bond{Conversation, PromptCacheKey, Caller} }

// Plan is how requests for an alias choose among its candidates. Those that are not
// chosen follow in their order. The zero Plan takes them in their order.
type Plan struct {
	Strategy Strategy
	Weights  map[Candidate]int // who is not in it has 1; 0 is for those that only stand in
	Sticky   []Bond            // the first that a request has binds it; it goes before the strategy
	Hedge    Hedge
}

// Hedge is when a second candidate is asked beside one that takes long. The zero Hedge
// never does.
type Hedge struct {
	After     time.Duration
	MaxTokens int // only requests that ask for no more than this
}

// Weight is how often a candidate is chosen, against the others.
func (p *Plan) Weight(c Candidate) int {
	if w, ok := p.Weights[c]; ok {
		return w
	}
	return 1
}

// ByWeight gives the place of the candidate that u, which is at least 0 and less than 1,
// falls on: each has a share as its weight. The first, where none has a weight.
func (p *Plan) ByWeight(all []Candidate, u float64) int {
	total := 0
	for _, c := range all {
		total += p.Weight(c)
	}
	at := u * float64(total)
	for i, c := range all {
		if at -= float64(p.Weight(c)); at < 0 {
			return i
		}
	}
	return 0
}

// ByKey gives the place of the candidate that a key belongs to, by rendezvous hashing:
// each has a share of the keys as its weight, and one that goes or comes takes only its
// own with it. It is the same on every server.
func (p *Plan) ByKey(all []Candidate, key string) int {
	best, most := 0, math.Inf(-1)
	for i, c := range all {
		sum := sha256.Sum256([]byte(c.String() + "\x00" + key))
		u := (float64(binary.BigEndian.Uint64(sum[:])>>11) + 0.5) / (1 << 53)
		if score := float64(p.Weight(c)) / -math.Log(u); p.Weight(c) > 0 && score > most {
			best, most = i, score
		}
	}
	return best
}
