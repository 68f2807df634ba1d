package bunstore

import (
	"context"
	"time"
)

// Table is one whose rows are added as often as requests end.
type Table struct {
	Name    string
	Columns string // as a statement names them
	Unless  bool   // a row that is there already stays as it is
}

// Sessions is the table that others refer to.
const Sessions = "chat_sessions"

// Columns takes the values of rows, each in the order of its table's columns.
type Columns interface {
	UUID(text string)
	UUIDOrNull(text *string)
	Text(s string)
	TextOrNull(s *string)
	JSON(text string)
	Integer(n int)
	Bigint(n int64)
	Boolean(is bool)
	Time(at time.Time)
}

// Row is one of a table.
type Row interface{ Values(to Columns) }

// Insert is rows that are to be added to a table.
type Insert struct {
	Table
	Rows []Row
}

// inserter is a connection on which rows wait, to go with those that others add to the
// same table.
type inserter interface {
	Insert(ctx context.Context, i Insert) error
}

// row is a Row that knows its table.
type row interface {
	Row
	table() Table
}

// insert adds rows.
func insert[R row](ctx context.Context, r *Repositories, rows ...R) error {
	if len(rows) == 0 {
		return nil
	}
	table := rows[0].table()
	if w, ok := r.db.(inserter); ok {
		i := Insert{Table: table, Rows: make([]Row, len(rows))}
		for n := range rows {
			i.Rows[n] = rows[n]
		}
		return r.failed(ctx, w.Insert(ctx, i))
	}
	query := r.db.NewInsert().Model(&rows).Returning(nothing)
	if table.Unless {
		query = query.On("CONFLICT DO NOTHING")
	}
	_, err := query.Exec(ctx)
	return r.failed(ctx, err)
}
