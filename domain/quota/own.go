package quota

import (
	"maps"

	"agentapi/domain/fault"
)

// Bound names one of the limits that somebody has.
type Bound string

// The bounds.
const (
	RequestsPerMinute Bound = "requests_per_minute"
	RequestsPerDay    Bound = "requests_per_day"
	TokensPerMinute   Bound = "tokens_per_minute"
	TokensPerDay      Bound = "tokens_per_day"
	Concurrent        Bound = "concurrent"
	Processes         Bound = "processes"
)

// Bounds lists all bounds.
func Bounds() []Bound {
	return []Bound{RequestsPerMinute, RequestsPerDay, TokensPerMinute, TokensPerDay, Concurrent, Processes}
}

func (l *Limits) at(b Bound) *int64 {
	switch b {
	case RequestsPerMinute:
		return &l.RequestsPerMinute
	case RequestsPerDay:
		return &l.RequestsPerDay
	case TokensPerMinute:
		return &l.TokensPerMinute
	case TokensPerDay:
		return &l.TokensPerDay
	case Concurrent:
		return &l.Concurrent
	case Processes:
		return &l.Processes
	default:
		return new(int64)
	}
}

// Of is the limit by a bound; 0: as much as it likes.
func (l Limits) Of(b Bound) int64 { return *l.at(b) }

// Own is the limits that somebody was given, in place of those that all have of whom
// nothing is said; 0: as much as it likes. It is never changed once it is made; who was
// given nothing has a nil one.
type Own map[Bound]int64

// Instead is the limits with those that somebody was given in their place.
func (l Limits) Instead(own Own) Limits {
	for b, n := range own {
		*l.at(b) = n
	}
	return l
}

// MostLimit is the highest limit that can be given: what counts by it stays exact.
const MostLimit = 1_000_000_000_000

// With is what somebody was given after a change, in which nil takes a limit back.
// fault.Invalid.
func (o Own) With(change map[Bound]*int64) (Own, error) {
	next := maps.Clone(o)
	if next == nil {
		next = make(Own)
	}
	for b, n := range change {
		switch {
		case n == nil:
			delete(next, b)
		case *n < 0 || *n > MostLimit:
			return nil, fault.Invalidf(string(b), "out_of_range", "%s must be between 0 and %d; 0 is no limit, null the server's default.", b, int64(MostLimit))
		default:
			next[b] = *n
		}
	}
	if len(next) == 0 {
		return nil, nil
	}
	return next, nil
}

// Source is where a limit is from.
type Source string

// The sources.
const (
	Given   Source = "own"          // it was given
	Default Source = "default"      // the server's, for all of whom nothing is said
	Above   Source = "organization" // the organisation's, which is stricter
)

// Effective is what holds for somebody by one bound; 0: no limit.
type Effective struct {
	Bound Bound
	Limit int64
	From  Source
}

// Holding is what holds for somebody of whom nothing is said but what they were given,
// within the limits of the organisation.
func Holding(standard Limits, own Own, within Limits) []Effective {
	all := make([]Effective, 0, len(Bounds()))
	for _, b := range Bounds() {
		e := Effective{b, standard.Of(b), Default}
		if n, given := own[b]; given {
			e.Limit, e.From = n, Given
		}
		if most := within.Of(b); most > 0 && (e.Limit == 0 || e.Limit > most) {
			e.Limit, e.From = most, Above
		}
		all = append(all, e)
	}
	return all
}
