//go:build unix

package live

import (
	"errors"
	"net"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// waitGone waits until the peer has closed the connection or reset it, and says
// so. pending: bytes of a next request have come, which stay where they are, and
// hide its end. Neither: there is no telling, or the read deadline is over.
func waitGone(conn net.Conn) (gone, pending bool) {
	raw := rawOf(conn)
	if raw == nil {
		return false, false
	}
	var one [1]byte
	err := raw.Read(func(fd uintptr) bool {
		for {
			n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			switch {
			case errors.Is(err, syscall.EINTR):
			case errors.Is(err, syscall.EAGAIN):
				return false // wait until the socket can be read
			default:
				gone, pending = err != nil || n == 0, n > 0
				return true
			}
		}
	})
	return err == nil && gone, err == nil && pending
}

// rawOf gives the connection's descriptor; nil for a TLS connection, where its
// records are seen.
func rawOf(conn net.Conn) syscall.RawConn {
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// hungUp tells, without waiting, whether the peer has closed the connection,
// whatever it sent before.
func hungUp(conn net.Conn) (gone bool) {
	raw := rawOf(conn)
	if raw == nil {
		return false
	}
	events := int16(unix.POLLHUP | unix.POLLERR)
	if runtime.GOOS == "linux" {
		events |= 0x2000 // POLLRDHUP, which other systems lack
	}
	err := raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(fds, 0)
		gone = err == nil && n > 0 && fds[0].Revents&(events|unix.POLLNVAL) != 0
	})
	return err != nil || gone
}
