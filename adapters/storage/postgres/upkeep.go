package postgres

import (
	"context"
	"time"

	"agentapi/domain/session"
	"agentapi/ports"
)

// Upkeep removes what need not be kept.
func (s *Store) Upkeep() ports.Upkeep { return upkeep{s.Outer.Upkeep(), s} }

type upkeep struct {
	ports.Upkeep
	s *Store
}

// rotating lets a month be counted, but nobody wait long for a lock.
const rotating = "SELECT set_config('lock_timeout', '500ms', true), set_config('statement_timeout', '1min', true), set_config('idle_in_transaction_session_timeout', '1min', true)"

// Rotate makes the months of usage that come next, and drops those that need not
// be kept, in a transaction that no request shares: both lock the whole table.
func (u upkeep) Rotate(ctx context.Context, at, before time.Time) (dropped int, err error) {
	err = u.s.apart(ctx, rotating, func(ctx context.Context, w *wire) error {
		var until *time.Time
		if !before.IsZero() {
			moment := session.Moment(before)
			until = &moment
		}
		return w.NewRaw("SELECT rotate_usage(?, ?)", session.Moment(at), until).Scan(ctx, &dropped)
	})
	return dropped, err
}
