package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// pool is connections, as pgx keeps them and as bun uses them.
type pool struct {
	*pgxpool.Pool
	db *bun.DB
}

// newPool makes a pool of at most size connections; it dials nothing.
func newPool(o *Options, size int) (*pool, error) {
	c, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, err
	}
	c.MaxConns, c.MinConns = int32(size), 0
	c.MaxConnLifetimeJitter = 10 * time.Minute
	c.HealthCheckPeriod = 30 * time.Second
	c.PingTimeout = o.Timeout / 3
	// bun writes the arguments into the text, so that a statement is never the same
	// again; and what is prepared does not survive a pooler.
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.ConnConfig.StatementCacheCapacity, c.ConnConfig.DescriptionCacheCapacity = 0, 0
	if c.ConnConfig.RuntimeParams["application_name"] == "" {
		c.ConnConfig.RuntimeParams["application_name"] = "agentapi"
	}
	c.AfterConnect = understood
	p, err := pgxpool.NewWithConfig(context.Background(), c)
	if err != nil {
		return nil, err
	}
	return &pool{p, bun.NewDB(stdlib.OpenDBFromPool(p), pgdialect.New())}, nil
}

// understood checks that the server reads texts as bun writes them.
func understood(_ context.Context, c *pgx.Conn) error {
	strings, encoding := c.PgConn().ParameterStatus("standard_conforming_strings"), c.PgConn().ParameterStatus("client_encoding")
	if strings != "on" || encoding != "UTF8" {
		return errors.New("the server must have standard_conforming_strings on and take UTF8, not " + strings + " and " + encoding)
	}
	return nil
}

func (p *pool) close() {
	if p != nil {
		_ = p.db.Close() // the connections are the pool's
		p.Close()
	}
}

// Connections tells how many connections each pool has: used, idle, and at most.
func (s *Store) Connections(tell func(pool string, used, idle, most int)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.reads == nil {
		return
	}
	for name, p := range map[string]*pool{"read": s.reads, "write": s.writes} {
		st := p.Stat()
		tell(name, int(st.AcquiredConns()), int(st.IdleConns()), int(st.MaxConns()))
	}
}
