package redis

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"

	"github.com/redis/rueidis"
)

// dials counts connections.
type dials struct{ open, made, failed atomic.Int64 }

// count has the connections counted that are made with the options.
func (d *dials) count(o *rueidis.ClientOption) {
	dial := o.DialCtxFn // which is there for a socket that is a file
	if dial == nil {
		dial = overTCP
	}
	o.DialCtxFn = func(ctx context.Context, to string, dialer *net.Dialer, c *tls.Config) (net.Conn, error) {
		conn, err := dial(ctx, to, dialer, c)
		if err != nil {
			d.failed.Add(1)
			return nil, err
		}
		d.made.Add(1)
		d.open.Add(1)
		return &counted{Conn: conn, closed: sync.OnceFunc(func() { d.open.Add(-1) })}, nil
	}
}

func overTCP(ctx context.Context, to string, dialer *net.Dialer, c *tls.Config) (net.Conn, error) {
	if c == nil {
		return dialer.DialContext(ctx, "tcp", to)
	}
	secure := tls.Dialer{NetDialer: dialer, Config: c}
	return secure.DialContext(ctx, "tcp", to)
}

// counted is a connection that is counted until it is closed, which may be more than
// once.
type counted struct {
	net.Conn
	closed func()
}

// Close ends the connection.
func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

// Connections tells how many connections are open, and how many were made and could not
// be made until now.
func (c *Client) Connections() (open int, made, failed int64) {
	return int(c.dials.open.Load()), c.dials.made.Load(), c.dials.failed.Load()
}
