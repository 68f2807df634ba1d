package usage

import (
	"cmp"
	"slices"
	"time"

	"agentapi/domain/agent"
	"agentapi/domain/fault"
	"agentapi/domain/price"
	"agentapi/domain/tenancy"
)

// Dimension is what a report may tell apart.
type Dimension string

// The dimensions.
const (
	ByOrg   Dimension = "org"
	ByUser  Dimension = "user"
	ByKey   Dimension = "key"
	ByAgent Dimension = "agent"
	ByModel Dimension = "model"
)

// Dimensions are all of them.
func Dimensions() []Dimension { return []Dimension{ByModel, ByAgent, ByUser, ByKey, ByOrg} }

// Query asks for a report.
type Query struct {
	Since, Until time.Time     // records made at Since or later, and before Until
	Width        time.Duration // of a bucket: a minute, an hour or a day, in UTC
	By           []Dimension   // told apart within a bucket
	// Only records that are of one of each that are named; empty: of any.
	Users  []tenancy.UserID
	Keys   []tenancy.KeyID
	Agents []agent.Name
	Models []string
}

// Bounds of a report.
const (
	MaxBuckets = 1500   // a day in minutes, two months in hours, four years in days
	MaxRows    = 10_000 // of a report
	maxChoice  = 100    // named of each
)

// Normal fills in what a query leaves out and refuses one that is out of bounds:
// Until is now, Width an hour where the time is at most two days and else a day, Since
// a week before Until. Since is taken back to where its bucket begins.
func (q Query) Normal(now time.Time) (Query, error) {
	if q.Until.IsZero() {
		q.Until = now
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-7 * 24 * time.Hour)
	}
	if q.Width == 0 {
		q.Width = 24 * time.Hour
		if q.Until.Sub(q.Since) <= 48*time.Hour {
			q.Width = time.Hour
		}
	}
	switch {
	case q.Width != time.Minute && q.Width != time.Hour && q.Width != 24*time.Hour:
		return q, fault.Invalidf("interval", "invalid_value", "A report is by the minute, the hour or the day.")
	case !q.Since.Before(q.Until):
		return q, fault.Invalidf("since", "out_of_range", "since must be before until.")
	}
	q.Since, q.Until = q.Since.UTC().Truncate(q.Width), q.Until.UTC()
	if q.Until.Sub(q.Since) > MaxBuckets*q.Width {
		return q, fault.Invalidf("since", "out_of_range", "A report has at most %d times, and this one would have more.", MaxBuckets).
			WithHint("Ask for a shorter time or a longer interval.")
	}
	slices.Sort(q.By)
	q.By = slices.Compact(q.By)
	for _, d := range q.By {
		if !slices.Contains(Dimensions(), d) {
			return q, fault.Invalidf("group_by", "invalid_value", "A report tells apart model, agent, user, key and org.")
		}
	}
	if len(q.Users) > maxChoice || len(q.Keys) > maxChoice || len(q.Agents) > maxChoice || len(q.Models) > maxChoice {
		return q, fault.Invalidf("", "out_of_range", "A report is about at most %d of a kind.", maxChoice)
	}
	return q, nil
}

// Tells whether the query tells a dimension apart.
func (q Query) Tells(d Dimension) bool { return slices.Contains(q.By, d) }

// Has tells whether the query is about a record.
func (q Query) Has(user tenancy.UserID, r *Record) bool {
	return !r.At.Before(q.Since) && r.At.Before(q.Until) &&
		among(q.Users, user) && among(q.Keys, r.Key) && among(q.Agents, r.Agent) && among(q.Models, r.Model)
}

func among[T comparable](chosen []T, v T) bool { return len(chosen) == 0 || slices.Contains(chosen, v) }

// Group is what a row of a report is about; what is not told apart is zero.
type Group struct {
	At    time.Time // where its bucket begins
	Org   tenancy.OrgID
	User  tenancy.UserID
	Key   tenancy.KeyID // zero, too, where no key was used
	Agent agent.Name
	Model string
}

// Group is that of a record.
func (q Query) Group(org tenancy.OrgID, user tenancy.UserID, r *Record) Group {
	g := Group{At: r.At.UTC().Truncate(q.Width)}
	for _, d := range q.By {
		switch d {
		case ByOrg:
			g.Org = org
		case ByUser:
			g.User = user
		case ByKey:
			g.Key = r.Key
		case ByAgent:
			g.Agent = r.Agent
		case ByModel:
			g.Model = r.Model
		}
	}
	return g
}

// Sums is what the records of a group add up to.
type Sums struct {
	Requests   int64
	Failed     int64 // of them, after their answer had begun
	Canceled   int64 // of them, since the client had left
	Prompt     int64 // tokens, those from a cache included
	Cached     int64
	CacheWrite int64
	Completion int64 // tokens, those of reasoning included
	Reasoning  int64
	Cost       price.Micro
}

// Add adds a record.
func (s *Sums) Add(r *Record) {
	s.Requests++
	switch r.Outcome {
	case Failed:
		s.Failed++
	case Canceled:
		s.Canceled++
	}
	s.Prompt += int64(r.Tokens.Prompt)
	s.Cached += int64(r.Tokens.Cached)
	s.CacheWrite += int64(r.Tokens.CacheWrite)
	s.Completion += int64(r.Tokens.Completion)
	s.Reasoning += int64(r.Tokens.Reasoning)
	s.Cost = s.Cost.Plus(r.Cost)
}

// Row is one group of a report, and what it adds up to.
type Row struct {
	Group
	Sums
}

// Compare orders rows by time, and then by what is told apart.
func Compare(a, b Row) int {
	return cmp.Or(
		a.At.Compare(b.At),
		slices.Compare(a.Org[:], b.Org[:]), slices.Compare(a.User[:], b.User[:]), slices.Compare(a.Key[:], b.Key[:]),
		cmp.Compare(a.Agent, b.Agent), cmp.Compare(a.Model, b.Model),
	)
}

// TooMany is the fault of a report that would have more rows than MaxRows.
func TooMany() error {
	return fault.Invalidf("group_by", "out_of_range", "The report would have more than %d rows.", MaxRows).
		WithHint("Ask for a shorter time, a longer interval, or fewer things told apart.")
}
