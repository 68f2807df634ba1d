package http

import (
	"net"
	"sync"
	"syscall"
)

// ahead is how much of an answer may wait for a client who reads slowly, of which the
// system keeps as much again for itself: it would let megabytes wait, and the agent run
// ahead by as much. With half of this a client on the same machine, as a proxy is, puts
// off acknowledging its segments of 64 KB: 1 MB takes half a second.
const ahead = 40 << 10

// counting counts what its connections read.
type counting struct{ net.Listener }

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(ahead) // where it cannot be set the system's own holds
		conn := &countingConn{TCPConn: tcp}
		if conn.raw, err = tcp.SyscallConn(); err != nil {
			conn.raw = nil // it is closed already, as reading it says
		}
		return conn, nil
	}
	return c, nil
}

// countingConn is a connection that knows how many bytes were read from it. The
// server reads it from one goroutine. It waits for a request by reading its first byte,
// so as to hold no buffer meanwhile: what comes with that byte is taken in the same call
// to the system, and given at the next.
type countingConn struct {
	*net.TCPConn
	raw  syscall.RawConn // nil: there is none
	read int

	take   func(fd uintptr) bool // took, made once; nil: not yet
	failed error                 // why took could take nothing

	come *block // holds rest; nil: there is none
	rest []byte // has come and is not yet read
}

// block holds what comes with a request's first byte.
type block [4 << 10]byte

var blocks = sync.Pool{New: func() any { return new(block) }}

func (c *countingConn) Read(b []byte) (n int, err error) {
	if len(b) == 1 && c.come == nil && c.raw != nil {
		err = c.wait()
	}
	switch {
	case err != nil:
	case c.come == nil:
		n, err = c.TCPConn.Read(b)
	default:
		n = copy(b, c.rest)
		if c.rest = c.rest[n:]; len(c.rest) == 0 {
			blocks.Put(c.come)
			c.come = nil
		}
	}
	c.read += n
	return n, err
}
