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
		return &savepoints{tx, On(tx, kind)}, nil
	}}
}

type savepoints struct {
	tx bun.Tx
	r  *Repositories
}

func (s *savepoints) Job(ctx context.Context, _ int, _ bool) (*Repositories, error) {
	return s.r, s.exec(ctx, "SAVEPOINT job")
}

func (s *savepoints) Keep(ctx context.Context) error { return Failed(ctx, s.exec(ctx, "RELEASE job")) }
func (s *savepoints) Undo(ctx context.Context) error { return s.exec(ctx, "ROLLBACK TO job") }
func (s *savepoints) Rollback()                      { _ = s.tx.Rollback() } // why is known already

func (s *savepoints) Commit(context.Context) ([]int, error) { return nil, s.tx.Commit() }

func (s *savepoints) exec(ctx context.Context, statement string) error {
	_, err := s.tx.ExecContext(ctx, statement)
	return err
}
