package postgres

import (
	"context"
	"time"

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/fault"
)

// bulkLimit is how long a transaction of Bulk may take.
const bulkLimit = time.Minute

// bulk lets a transaction take longer than what a request waits for.
const bulk = "SELECT set_config('lock_timeout', '10s', true), set_config('statement_timeout', '1min', true), set_config('idle_in_transaction_session_timeout', '1min', true)"

// Bulk runs fn in one transaction of the server's role, in which it names one
// organisation after the other: row-level security binds it as it binds requests.
func (s *Store) Bulk(ctx context.Context, fn func(context.Context, *bunstore.Repositories) error) error {
	return s.apart(ctx, bulk, func(ctx context.Context, w *wire) error {
		return fn(ctx, bunstore.Entering(w, kind, w.enter))
	})
}

// apart runs fn in a transaction that no request shares, with settings of its own.
func (s *Store) apart(ctx context.Context, settings string, fn func(context.Context, *wire) error) error {
	s.mu.RLock()
	writes := s.writes
	s.mu.RUnlock()
	if writes == nil {
		return bunstore.Closed()
	}
	inner, cancel := context.WithTimeout(ctx, bulkLimit)
	defer cancel()
	w := writes.wire(nil)
	defer w.release()
	w.careful = true // what a statement did is asked for
	w.add("BEGIN")
	w.add(s.settings)
	w.add(settings)
	err := fn(inner, w)
	if err == nil {
		w.add(commit)
		err = w.flush(inner)
	}
	if err == nil || ctx.Err() == nil && fault.As(err) != nil && !fault.Is(err, fault.Timeout) {
		return err
	}
	if ctx.Err() == nil && inner.Err() != nil {
		return bunstore.Late(err)
	}
	return bunstore.Failed(ctx, err)
}
