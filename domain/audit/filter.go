package audit

import (
	"time"

	"agentapi/domain/tenancy"
)

// Filter chooses entries; what is zero chooses all.
type Filter struct {
	Org     tenancy.OrgID
	Actor   string
	Action  Action
	Request string
	Since   time.Time // included
	Until   time.Time // not included
}

// Chooses tells whether the filter chooses an entry.
func (f *Filter) Chooses(c *Columns) bool {
	return (f.Org.IsZero() || c.Org == f.Org) && (f.Actor == "" || c.Actor == f.Actor) && (f.Action == "" || c.Action == f.Action) &&
		(f.Request == "" || c.Request == f.Request) &&
		(f.Since.IsZero() || !c.At().Before(f.Since)) && (f.Until.IsZero() || c.At().Before(f.Until))
}
