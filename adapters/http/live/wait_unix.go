//go:build unix

package live

import (
	"errors"
	"net"
	"syscall"
)

// waitGone waits until the peer has closed the connection or reset it, and says
// so; false when there is no telling: the read deadline is over, or bytes of a
// next request have come, which stay where they are.
func waitGone(conn net.Conn) (gone bool) {
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return false // a TLS connection: what is seen there is its records
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return false
	}
	var one [1]byte
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			switch {
			case errors.Is(err, syscall.EINTR):
			case errors.Is(err, syscall.EAGAIN):
				return false // wait until the socket can be read
			default:
				gone = err != nil || n == 0
				return true
			}
		}
	})
	return err == nil && gone
}
