// Package census is how much there is on the whole platform, in numbers that name
// nobody.
package census

import "agentapi/domain/usage"

// Census is how much there is. A number that equals Most says that there are as many
// or more: counting stops there.
type Census struct {
	Orgs     int64
	Users    int64
	Keys     int64 // that are not revoked
	Sessions int64
	LastHour usage.Totals
	LastDay  usage.Totals
	Most     int64
}
