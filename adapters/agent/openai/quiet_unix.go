//go:build unix

package openai

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"
)

// ear tells whether an idle connection is still open and silent. It is made once for all
// requests on the connection.
type ear struct {
	raw   syscall.RawConn // nil: it cannot be told
	peek  func(fd uintptr)
	one   [1]byte
	alive bool // as peek has found
}

func listen(c net.Conn) *ear {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	e := new(ear)
	if sys, ok := c.(syscall.Conn); ok {
		e.raw, _ = sys.SyscallConn() // of a socket, which has one
	}
	e.peek = func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), e.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		e.alive = errors.Is(err, syscall.EAGAIN)
	}
	return e
}

// quiet tells whether the connection is open and silent. Bytes on it are an end that has
// not been read yet, as TLS announces one.
func (e *ear) quiet() bool {
	return e.raw == nil || e.raw.Control(e.peek) == nil && e.alive
}
