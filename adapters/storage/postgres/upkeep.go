package postgres

import (
	"context"
	"database/sql"
	"time"

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/session"
	"agentapi/ports"
)

// Upkeep removes what need not be kept, in transactions that no request shares:
// none waits for what takes long, or fails with it.
func (s *Store) Upkeep() ports.Upkeep {
	apart := &bunstore.Outer{Reads: s.Reads, Writes: func(ctx context.Context, fn func(context.Context, ports.Repositories) error) error {
		return s.apart(ctx, keeping, func(ctx context.Context, w *wire) error {
			return fn(ctx, bunstore.Entering(w, kind, w.enter).Locking())
		})
	}}
	return upkeep{apart.Upkeep(), s}
}

type upkeep struct {
	ports.Upkeep
	s *Store
}

// keeping lets much be removed or counted, but nobody wait long for a lock.
const keeping = "SELECT set_config('lock_timeout', '500ms', true), set_config('statement_timeout', '1min', true), set_config('idle_in_transaction_session_timeout', '1min', true)"

// Rotate makes the months of usage that come next, and drops those that need not
// be kept, each in a transaction of its own: they lock the whole table.
func (u upkeep) Rotate(ctx context.Context, at, before time.Time) (dropped int, err error) {
	err = u.s.apart(ctx, keeping, func(ctx context.Context, w *wire) error {
		_, err := w.NewRaw("SELECT make_usage_months(?)", session.Moment(at)).Exec(ctx)
		return err
	})
	for err == nil && !before.IsZero() {
		var n sql.NullInt64
		err = u.s.apart(ctx, keeping, func(ctx context.Context, w *wire) error {
			return w.NewRaw("SELECT drop_usage_month(?)", session.Moment(before)).Scan(ctx, &n)
		})
		if !n.Valid {
			break
		}
		if err == nil {
			dropped += int(n.Int64)
		}
	}
	return dropped, err
}
