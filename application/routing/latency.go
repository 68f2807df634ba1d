package routing

import (
	"fmt"
	"math"
	"time"

	"agentapi/domain/agent"
)

// course is what is measured by itself: an answer that is not streamed comes all at
// once, which says nothing of one that is.
type course struct {
	agent.Candidate
	stream bool
}

// pace is an average that forgets: what was measured some time ago counts less the
// longer that is.
type pace struct {
	mean time.Duration
	at   time.Time
}

// memory is the time in which an older average loses two thirds of its weight; the share
// of a single measurement is at least newest.
const (
	memory = 30 * time.Second
	newest = 0.1
)

// Began tells how long a candidate took to begin its answer.
func (s *Service) Began(c agent.Candidate, stream bool, after time.Duration) {
	if s == nil {
		return
	}
	now := s.Now()
	s.paces.mu.Lock()
	defer s.paces.mu.Unlock()
	of := course{c, stream}
	p, had := s.paces.known[of]
	switch share := 1 - math.Exp(-float64(now.Sub(p.at))/float64(memory)); {
	case had:
		p.mean += time.Duration(max(newest, share) * float64(after-p.mean))
	case len(s.paces.known) < mostKnown:
		p.mean = after
	default:
		return
	}
	p.at = now
	s.paces.known[of] = p
}

// mostKnown bounds what is measured: models may have names of the callers' own.
const mostKnown = 10_000

// Stumbled makes a candidate that failed no faster by having failed soon.
func (s *Service) Stumbled(c agent.Candidate, stream bool, after time.Duration) {
	if s == nil {
		return
	}
	s.paces.mu.Lock()
	mean := s.paces.known[course{c, stream}].mean
	s.paces.mu.Unlock()
	s.Began(c, stream, max(after, 2*mean, time.Second))
}

// fastest gives the place of the candidate whose answers begin the soonest. One that was
// never measured goes before those that were, and now and then chance chooses.
func (s *Service) fastest(all []agent.Candidate, stream bool) (at int, why string) {
	u := s.Random()
	if u < explore {
		return min(int(u/explore*float64(len(all))), len(all)-1), "it was drawn to see how fast it is now"
	}
	s.paces.mu.Lock()
	defer s.paces.mu.Unlock()
	var best time.Duration
	for i, c := range all {
		p, had := s.paces.known[course{c, stream}]
		if !had {
			return i, "it is not known yet how fast it is"
		}
		if i == 0 || p.mean < best {
			at, best = i, p.mean
		}
	}
	return at, fmt.Sprintf("its answers begin the soonest, after %v", best.Round(time.Millisecond))
}
