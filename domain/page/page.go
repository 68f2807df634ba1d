// Package page is keyset paging: a list is cut after an element that was seen,
// never at an offset, so that inserts neither repeat nor skip anything.
package page

import "agentapi/domain/fault"

// The bounds of a page's size.
const (
	DefaultLimit = 20
	MaxLimit     = 100
)

// Query asks for one page.
type Query struct {
	Limit  int    // 1 to MaxLimit; 0 means DefaultLimit
	After  string // the id of the element that the page begins after; empty: at the start
	Before string // the id of the element that the page ends before; not with After
	Desc   bool   // newest first
}

// Normal checks q and fills in the default limit.
func (q Query) Normal() (Query, error) {
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		return q, fault.Invalidf("limit", "out_of_range", "limit must be between 1 and %d.", MaxLimit)
	}
	if q.After != "" && q.Before != "" {
		return q, fault.Invalidf("before", "invalid_value", "Give after or before, not both.")
	}
	return q, nil
}

// Of is one page of a list, in the order that was asked for.
type Of[T any] struct {
	Items []T
	More  bool // elements follow in the direction of paging
}
