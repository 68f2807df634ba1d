package usage

import (
	"testing"
	"time"

	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

func TestAReportsQueryIsFilledInAndBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 8, time.FixedZone("x", 3600))
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		q     Query
		since time.Time
		width time.Duration
	}{
		"nothing said":  {Query{}, time.Date(2026, 2, 25, 0, 0, 0, 0, time.UTC), day},
		"a short time":  {Query{Since: now.Add(-2 * time.Hour)}, time.Date(2026, 3, 4, 2, 0, 0, 0, time.UTC), time.Hour},
		"by the minute": {Query{Since: now.Add(-2 * time.Hour), Width: time.Minute}, time.Date(2026, 3, 4, 2, 6, 0, 0, time.UTC), time.Minute},
	} {
		q, err := c.q.Normal(now)
		if err != nil || !q.Since.Equal(c.since) || q.Width != c.width || !q.Until.Equal(now) {
			t.Errorf("%s: got %+v, %v", name, q, err)
		}
	}
	for name, q := range map[string]Query{
		"another width":       {Width: time.Second},
		"from later to now":   {Since: now.Add(time.Hour)},
		"nothing between":     {Since: now, Until: now},
		"too many times":      {Since: now.Add(-1600 * time.Hour), Width: time.Hour},
		"an unknown kind":     {By: []Dimension{"colour"}},
		"more users than fit": {Users: make([]tenancy.UserID, 101)},
	} {
		if _, err := q.Normal(now); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
