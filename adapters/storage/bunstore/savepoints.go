package bunstore

import (
	"context"

	"github.com/uptrace/bun"
)

// Savepoints makes batches of db's transactions, each job in a savepoint of its
// own. Nothing else may write to db.
func Savepoints(db *bun.DB, kind Classify) Writer {
	return Writer{Begin: func(ctx context.Context, turn <-chan struct{}) (Batch, error) {
		<-turn
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		return &savepoints{tx: tx, r: On(tx, kind)}, nil
	}}
}

type savepoints struct {
	tx      bun.Tx
	r       *Repositories
	job     int
	entries Gathered
}

func (s *savepoints) Job(ctx context.Context, n int, _ bool) (*Repositories, error) {
	s.job = n
	return s.r.Gathering(s.entries.Job(n)), s.exec(ctx, "SAVEPOINT job")
}

func (s *savepoints) Keep(ctx context.Context) error { return Failed(ctx, s.exec(ctx, "RELEASE job")) }
func (s *savepoints) Rollback()                      { _ = s.tx.Rollback() } // why is known already

func (s *savepoints) Undo(ctx context.Context) error {
	s.entries.Drop(s.job)
	return s.exec(ctx, "ROLLBACK TO job")
}

// Commit seals what is to be appended to the audit log, of all jobs together, and
// commits.
func (s *savepoints) Commit(ctx context.Context) ([]int, bool, error) {
	if err := s.r.seal(ctx, s.entries.All()); err != nil {
		return nil, false, err
	}
	return nil, false, s.tx.Commit()
}

func (s *savepoints) exec(ctx context.Context, statement string) error {
	_, err := s.tx.ExecContext(ctx, statement)
	return err
}
