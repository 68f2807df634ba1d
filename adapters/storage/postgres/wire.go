package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"

	"agentapi/adapters/storage/bunstore"
	"agentapi/domain/fault"
	"agentapi/domain/tenancy"
)

// wire is a connection on which statements wait for each other: those whose
// result nobody has asked for go out in one message, so that a transaction costs
// a round trip or two, not one for each statement. Nothing about it outlives the
// transaction, so that a pooler may stand between.
type wire struct {
	bun.Conn // taken when it is needed
	pool     *pool
	turn     <-chan struct{} // closed when it may send; nil: at once

	queue   []*statement
	size    int // bytes in the queue
	job     int // whose statements come now; none for the transaction's own
	careful bool
	org     tenancy.OrgID // that the transaction has named
	broken  error         // what the current job's statement failed with
	failed  map[int]error // jobs whose statements had failed when nobody looked
	sent    bool          // something has gone out
	unread  bool          // what went out last was not even begun
}

// naming names the tenant to a transaction.
const naming = "SET LOCAL agentapi.org_id = '"

// none is the job of a transaction's own statements.
const none = -1

// full is how many bytes are sent without waiting for more.
const full = 1 << 20

// statement is one that waits, or was sent.
type statement struct {
	text string
	args []column
	rows bunstore.Insert // to be added, in place of a text
	job  int
	last bool // it ends the transaction, and is nothing where a job is to be run again
	done bool
	n    int64 // rows that it has touched
}

var _ sql.Result = (*statement)(nil)

func (s *statement) LastInsertId() (int64, error) { return s.n, nil }

// guarded is what a statement begins with that fails unless it touches a row.
const guarded = "WITH one AS ("

// RowsAffected of a statement that waits is taken to be one. The server is made
// to fail it where it is not, and then its job runs again carefully.
func (s *statement) RowsAffected() (int64, error) {
	if s.done {
		return s.n, nil
	}
	s.text = guarded + s.text + " RETURNING 1) SELECT 1/count(*) FROM one"
	return 1, nil
}

// into adds the statement to a message.
func (s *statement) into(message *pgconn.Batch) {
	if len(s.args) == 0 {
		message.ExecParams(s.text, nil, nil, nil, nil)
		return
	}
	values, types, binary := make([][]byte, len(s.args)), make([]uint32, len(s.args)), []int16{1}
	for i := range s.args {
		values[i], types[i] = s.args[i].bytes(), s.args[i].array
	}
	message.ExecParams(s.text, values, types, binary, nil)
}

// wire makes a wire that sends nothing before its turn.
func (p *pool) wire(turn <-chan struct{}) *wire {
	return &wire{pool: p, turn: turn, job: none, failed: map[int]error{}}
}

// ready waits for the wire's turn, and takes a connection of the pool.
func (w *wire) ready(ctx context.Context) error {
	if w.turn != nil {
		select {
		case <-w.turn:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if w.Conn.Conn != nil {
		return nil
	}
	conn, err := w.pool.db.Conn(ctx)
	if err == nil {
		w.Conn = conn
	}
	return err
}

// enter names the tenant to the transaction.
func (w *wire) enter(_ context.Context, org tenancy.OrgID) error {
	if org == w.org {
		return nil
	}
	w.org = org
	w.add(naming + org.UUID() + "'")
	return nil
}

func (w *wire) add(text string) *statement {
	s := &statement{text: text, job: w.job}
	w.queue = append(w.queue, s)
	w.size += len(text)
	return s
}

// ExecContext has a statement wait, which bun has put its arguments into.
func (w *wire) ExecContext(ctx context.Context, query string, _ ...any) (sql.Result, error) {
	if w.broken != nil {
		return nil, w.broken
	}
	// Such a text would break the whole message that it stands in.
	if strings.IndexByte(query, 0) >= 0 || !utf8.ValidString(query) {
		return nil, fault.Internalf("a statement is no text")
	}
	s := w.add(strings.Clone(query))
	if w.careful || w.size > full {
		return s, w.flush(ctx)
	}
	return s, nil
}

// Insert has rows wait, which may go with those of others.
func (w *wire) Insert(ctx context.Context, i bunstore.Insert) error {
	if w.broken != nil {
		return w.broken
	}
	var s sound
	for _, row := range i.Rows {
		row.Values(&s)
	}
	if s.not {
		return fault.Internalf("a row of %s is none that the database takes", i.Name)
	}
	w.add("").rows = i
	w.size += s.size
	if w.careful || w.size > full {
		return w.flush(ctx)
	}
	return nil
}

// QueryContext sends what waits, and then the query.
func (w *wire) QueryContext(ctx context.Context, query string, _ ...any) (*sql.Rows, error) {
	if w.broken != nil {
		return nil, w.broken
	}
	if err := w.flush(ctx); err != nil {
		return nil, err
	}
	return w.Conn.Conn.QueryContext(ctx, query)
}

// QueryRowContext is QueryContext for one row. Where what waited has failed, so
// does the query: the transaction takes no more.
func (w *wire) QueryRowContext(ctx context.Context, query string, _ ...any) *sql.Row {
	if _ = w.flush(ctx); w.Conn.Conn == nil { // there is no other way to make a row that fails
		ended, cancel := context.WithDeadline(ctx, time.Time{})
		defer cancel()
		return w.pool.db.DB.QueryRowContext(ended, query)
	}
	return w.Conn.Conn.QueryRowContext(ctx, query)
}

// Dialect is how statements are written.
func (w *wire) Dialect() schema.Dialect { return w.pool.db.Dialect() }

// NewSelect makes a query on this connection.
func (w *wire) NewSelect() *bun.SelectQuery { return bun.NewSelectQuery(w.pool.db).Conn(w) }

// NewInsert makes a statement on this connection.
func (w *wire) NewInsert() *bun.InsertQuery { return bun.NewInsertQuery(w.pool.db).Conn(w) }

// NewUpdate makes a statement on this connection.
func (w *wire) NewUpdate() *bun.UpdateQuery { return bun.NewUpdateQuery(w.pool.db).Conn(w) }

// NewDelete makes a statement on this connection.
func (w *wire) NewDelete() *bun.DeleteQuery { return bun.NewDeleteQuery(w.pool.db).Conn(w) }

// NewRaw makes a query on this connection.
func (w *wire) NewRaw(query string, args ...any) *bun.RawQuery {
	return bun.NewRawQuery(w.pool.db, query, args...).Conn(w)
}

// flush sends what waits. Where a statement of an earlier job fails, that job is
// undone, noted in failed, and the rest goes on; where one of the current job
// does, its error is returned. A connection that was found dead by the first
// message is replaced, if nothing can have come of it.
func (w *wire) flush(ctx context.Context) error {
	if err := w.ready(ctx); err != nil {
		return err
	}
	for len(w.queue) > 0 {
		batch, first := w.queue, !w.sent
		tags, err := w.send(ctx, batch)
		// A server that takes its leave before the first word has read nothing.
		w.unread = len(tags) == 0 && sqlstate(err) != "" && w.dead()
		if err != nil && first && ctx.Err() == nil && (w.unread || batch[len(batch)-1].text != commit) && w.dead() {
			if lost := w.reopen(ctx); lost != nil {
				return lost
			}
			tags, err = w.send(ctx, batch)
			w.unread = false
		}
		for i, n := range tags {
			batch[i].n, batch[i].done = n, true
		}
		if err == nil {
			w.queue, w.size = nil, 0
			return nil
		}
		if sqlstate(err) == "" || len(tags) >= len(batch) || w.dead() {
			return err // the connection is at fault; the queue is as it was
		}
		w.queue, w.size = nil, 0
		job := batch[len(tags)].job
		if job == none {
			if strings.HasPrefix(batch[len(tags)].text, seals) {
				return bunstore.Unsealed(err)
			}
			return err
		}
		if job == w.job {
			w.broken = err
			return err
		}
		w.failed[job] = err
		w.queue = append(w.queue, &statement{text: undo, job: none}, &statement{text: forget, job: none})
		for _, s := range batch[len(tags)+1:] {
			if s.job != job && !s.last {
				w.queue = append(w.queue, s)
			}
		}
	}
	return nil
}

// reopen takes another connection in place of a dead one, of which there may be
// more.
func (w *wire) reopen(ctx context.Context) error {
	w.release()
	w.pool.Reset()
	return w.ready(ctx)
}

// send sends the statements in one message and gives how many rows each of those
// that succeeded has touched.
func (w *wire) send(ctx context.Context, batch []*statement) (tags []int64, err error) {
	message := &pgconn.Batch{}
	for _, s := range batch {
		if s.rows.Rows != nil {
			a := adding{into: s.rows.Table}
			a.rows(s.rows)
			s = a.statement(s.job)
		}
		s.into(message)
	}
	w.sent = true
	err = w.raw(func(conn *pgconn.PgConn) error {
		results := conn.ExecBatch(ctx, message)
		for results.NextResult() {
			tag, err := results.ResultReader().Close()
			if err != nil {
				break // Close says it, too
			}
			tags = append(tags, tag.RowsAffected())
		}
		return results.Close()
	})
	return tags, err
}

func (w *wire) raw(use func(*pgconn.PgConn) error) error {
	if w.Conn.Conn == nil {
		return driver.ErrBadConn
	}
	return w.Conn.Conn.Raw(func(c any) error {
		conn := c.(*stdlib.Conn).Conn().PgConn()
		err := use(conn)
		if conn.IsClosed() && err == nil {
			return driver.ErrBadConn
		}
		return err
	})
}

// dead tells whether the connection can be used no more.
func (w *wire) dead() bool {
	dead := true
	_ = w.raw(func(c *pgconn.PgConn) error {
		dead = c.IsClosed()
		return nil
	})
	return dead
}

// aborted tells whether a statement has failed in the transaction.
func (w *wire) aborted() (is bool) {
	_ = w.raw(func(c *pgconn.PgConn) error {
		is = c.TxStatus() == 'E'
		return nil
	})
	return is
}

// release gives the connection back, or away where a transaction is still open.
func (w *wire) release() {
	if w.Conn.Conn != nil {
		_ = w.Conn.Close() // what is wrong with it was said before
		w.Conn = bun.Conn{}
	}
}
